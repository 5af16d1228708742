//! `kubectl cordon` and `uncordon`.

use object::json;
use object::value::bool_at;

use crate::flags::{Flags, SELECT, WRITE};
use crate::{Failure, Kubectl, Result};

pub(crate) async fn cordon(k: &Kubectl<'_>, command: &str, words: &[String]) -> Result<()> {
    let mut flags = Flags::parse(command, words, &[SELECT, WRITE])?;
    if flags.args.is_empty() && flags.get("selector").is_none() {
        return Err(Failure::new(format!(
            "at least one node must be specified\nSee 'kubectl {command} -h' for help and examples"
        )));
    }
    let mut args = vec!["nodes".to_owned()];
    args.append(&mut flags.args);
    let (targets, missing) = k.targets(&flags, &args).await?;
    let wanted = command == "cordon";
    for target in targets {
        if bool_at(&target.object, &["spec", "unschedulable"]) == wanted {
            k.line(&format!("node/{} already {command}ed", target.name));
            continue;
        }
        let value = if wanted { json!(true) } else { json!(null) };
        k.patch(&target.path(), "strategic-merge", &json!({"spec": {"unschedulable": value}})).await?;
        k.line(&format!("node/{} {command}ed", target.name));
    }
    k.say_missing(&missing)
}
