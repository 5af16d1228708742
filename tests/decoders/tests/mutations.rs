//! The stored inputs of every decoder, and seeded mutations of them. `FUZZ_ROUNDS` and `FUZZ_SEED` run more and others.

use std::path::Path;

use object::Rng;
use wasmkube_test_decoders::{DECODERS, Server, decode};

/// Mutations of each decoder's inputs in a normal run.
const ROUNDS: u64 = 300;

/// Inputs do not grow beyond this.
const MOST_BYTES: usize = 4096;

/// Pieces on which readers have stumbled before.
const PIECES: [&[u8]; 30] = [
    b"null",
    b"{}",
    b"[]",
    b"\"\"",
    b"-1",
    b"9223372036854775808",
    b"1e999",
    b"0.1",
    b"true",
    b"\\u0000",
    b"\\ud800",
    b"\xff",
    b"\0",
    b"*",
    b"&a",
    b"<<: *a",
    b"{{",
    b"$patch",
    b"/-",
    b"~1",
    b"%",
    b"..",
    b"metadata",
    b"managedFields",
    b"f:spec",
    b"k:{\"name\":\"c\"}",
    b"!",
    b",",
    b"(",
    b"[[[[[[[[[[[[[[[[",
];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&place).unwrap_or_else(|e| panic!("{}: {e}", place.display())).flatten().collect();
    files.sort_by_key(std::fs::DirEntry::path);
    files.iter().map(|file| std::fs::read(file.path()).unwrap()).collect()
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound.max(1) as u64)).unwrap_or_default()
}

fn mutate(rng: &mut Rng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[below(rng, seeds.len())].clone();
    for _ in 0..=below(rng, 4) {
        let at = below(rng, bytes.len() + 1);
        let end = (at + below(rng, 24)).min(bytes.len());
        match below(rng, 7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << below(rng, 8),
            1 => drop(bytes.drain(at..end)),
            2 => {
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => drop(bytes.splice(at..at, PIECES[below(rng, PIECES.len())].iter().copied())),
            4 => drop(bytes.splice(at..end, PIECES[below(rng, PIECES.len())].iter().copied())),
            5 => {
                let other = &seeds[below(rng, seeds.len())];
                let from = below(rng, other.len() + 1);
                let piece = &other[from..(from + below(rng, 64)).min(other.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => bytes.truncate(at),
        }
    }
    bytes.truncate(MOST_BYTES);
    bytes
}

/// A stored input that is refused at the door would find nothing behind it.
#[test]
fn stored_inputs_reach_the_api() {
    let mut server = Server::default();
    for name in ["json", "yaml", "protobuf", "json_patch", "merge_patch", "strategic_patch", "apply", "definition", "query"] {
        let before = server.accepted();
        corpus(name).iter().for_each(|input| decode(name, &mut server, input));
        assert!(server.accepted() > before, "{name}: every stored input is refused");
    }
}

#[test]
fn no_input_breaks_a_decoder() {
    let (rounds, seed) = (setting("FUZZ_ROUNDS", ROUNDS), setting("FUZZ_SEED", 1));
    let mut server = Server::default();
    let mut broken = Vec::new();
    for (name, decoder) in DECODERS {
        let seeds = corpus(name);
        let mut rng = Rng::new(seed);
        let mutated = (0..rounds).map(|_| mutate(&mut rng, &seeds)).collect::<Vec<_>>();
        for input in seeds.iter().chain(&mutated) {
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| decoder(&mut server, input)));
            if run.is_err() {
                // What broke may have left the server broken.
                server = Server::default();
                broken.push(format!("{name}: {:?}", String::from_utf8_lossy(input)));
            }
        }
    }
    assert!(broken.is_empty(), "{} inputs:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn deep_and_long_inputs_are_refused_in_time() {
    let mut server = Server::default();
    let nest = |open: &str, close: &str, depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
    let inputs = [
        nest("[", "]", 100_000),
        nest("{\"a\":", "}", 100_000),
        nest("(", ")", 100_000),
        "- ".repeat(50_000),
        "!".repeat(100_000),
        "-".repeat(100_000),
        "a.".repeat(100_000),
        "a,".repeat(100_000),
        "a?a:".repeat(50_000),
        "&a [*a,".repeat(10_000),
        format!("{{\"spec\":{}}}", nest("{\"not\":", "}", 10_000)),
        "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g]\n".to_owned(),
        "1".repeat(100_000),
        format!("0.{}1", "0".repeat(100_000)),
        format!("1e{}", "9".repeat(1000)),
        format!("[{}]", "{\"op\":\"add\",\"path\":\"/a\",\"value\":1},".repeat(20_000).trim_end_matches(',')),
        format!("[{}]", "{\"op\":\"copy\",\"from\":\"\",\"path\":\"/metadata/annotations/a\"},".repeat(64).trim_end_matches(',')),
    ];
    for (_, decoder) in DECODERS {
        for input in &inputs {
            decoder(&mut server, input.as_bytes());
        }
    }
}
