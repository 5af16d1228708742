//! Ports that a pod takes on its node.

/// A port on a node, for one protocol and on one address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Address on the node; `0.0.0.0` is all of them.
    pub ip: String,
    /// Number.
    pub port: u16,
}

impl HostPort {
    /// As a container asks for it: without a protocol it is TCP, without an address it is on all of them; 0 asks for none.
    pub fn new(protocol: &str, ip: &str, port: u16) -> Option<Self> {
        let or = |text: &str, default: &str| if text.is_empty() { default.to_owned() } else { text.to_owned() };
        (port > 0).then(|| HostPort { protocol: or(protocol, "TCP"), ip: or(ip, "0.0.0.0"), port })
    }

    /// Whether one node cannot have both open.
    pub fn conflicts(&self, other: &HostPort) -> bool {
        let is_any = |port: &HostPort| port.ip == "0.0.0.0";
        let meet = self.ip == other.ip || is_any(self) || is_any(other);
        self.port == other.port && self.protocol == other.protocol && meet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_conflict_where_addresses_meet() {
        let port = |protocol, ip, number| HostPort::new(protocol, ip, number).unwrap();
        for (name, one, other, conflict) in [
            ("the same", port("", "", 80), port("TCP", "0.0.0.0", 80), true),
            ("all addresses and one", port("", "", 80), port("", "127.0.0.1", 80), true),
            ("two addresses", port("", "127.0.0.1", 80), port("", "127.0.0.2", 80), false),
            ("two protocols", port("TCP", "", 80), port("UDP", "", 80), false),
            ("two numbers", port("", "", 80), port("", "", 81), false),
        ] {
            assert_eq!((one.conflicts(&other), other.conflicts(&one)), (conflict, conflict), "{name}");
        }
        assert_eq!(HostPort::new("TCP", "", 0), None);
    }
}
