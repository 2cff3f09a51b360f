//! Ways in for the fuzz targets; not part of what is built otherwise.

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;

use crate::qemu::qmp::Qmp;

/// Sends every QMP request, answered with `bytes`.
pub fn qmp(bytes: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        let mut qmp = Qmp::new(ours);
        let talk = async {
            let requests = [("qmp_capabilities", serde_json::Value::Null), ("query-migrate", serde_json::json!({}))];
            let answers = qmp.ask(&requests).await?;
            let _ = answers.last().and_then(|answer| answer["status"].as_str());
            qmp.event(&["RESUME"]).await?;
            qmp.event(&["MIGRATION"]).await
        };
        let answer = async {
            let _ = theirs.write_all(bytes).await;
            let _ = theirs.shutdown().await;
        };
        let _ = tokio::join!(talk, answer);
    });
}
