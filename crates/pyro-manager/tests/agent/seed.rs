//! A seeded workspace in a real guest: the kernel's module is loaded, the overlay is everybody's,
//! and what ordinary programs do in it is told.

use pyro_guest::Guest;
use pyro_guest::files::{
    BeginSeed, Changes, Done, Event, FileEvent, FileReply, FileRequest, MountWorkspace, Operation, Reply, SEED, Unpack,
    frame, next_message, reason,
};

use crate::{Ended, collect, shell, world};

/// Asks the file worker, with data behind the request; what it answered, and its last word.
async fn ask(guest: &Guest, root: &str, operation: Operation, data: &[u8]) -> (Vec<Reply>, Result<Done, String>) {
    let running = guest.file_worker().spawn();
    let stdin = running.stdin();
    let mut request = frame(&FileRequest { root: root.into(), operation: Some(operation) });
    request.extend_from_slice(data);
    let sending = tokio::spawn(async move {
        stdin.write(&request).await;
        stdin.end();
    });
    let Ended { stdout, stderr, .. } = collect(running).await.unwrap();
    sending.await.unwrap();
    let (mut replies, mut rest) = (Vec::new(), stdout.as_slice());
    while let Some((message, taken)) = next_message::<FileReply>(rest).unwrap() {
        replies.extend(message.reply);
        rest = &rest[taken..];
    }
    let (mut end, mut rest) = (None, stderr.as_slice());
    while let Some((message, taken)) = next_message::<FileEvent>(rest).unwrap() {
        end = match message.event {
            Some(Event::Done(done)) => Some(Ok(done)),
            Some(Event::Failed(failed)) => Some(Err(format!("{}: {}", failed.reason, failed.message))),
            Some(Event::Notice(notice)) => panic!("{notice:?}"),
            _ => end,
        };
        rest = &rest[taken..];
    }
    (replies, end.unwrap())
}

async fn do_it(guest: &Guest, root: &str, operation: Operation, data: &[u8]) -> Vec<Reply> {
    let (replies, end) = ask(guest, root, operation, data).await;
    end.unwrap();
    replies
}

#[tokio::test]
async fn what_ordinary_programs_change_in_a_seeded_workspace_is_told_exactly() {
    let Some(world) = world("what_ordinary_programs_change_in_a_seeded_workspace").await else { return };
    let guest = world.session.guest();
    let make = "mkdir -p /tmp/s/docs/old/deep /tmp/s/src/lib && cd /tmp/s && echo one >src/main && echo two >src/lib/x
        echo three >docs/old/deep/f && echo four >run && ln -s run link && tar -c .";
    let archive = shell(guest, make).await.stdout;
    let begin = || Operation::BeginSeed(BeginSeed {});
    do_it(guest, "/", begin(), b"").await;
    do_it(guest, SEED, Operation::Unpack(Unpack::default()), &archive).await;
    assert_eq!(shell(guest, "ls /workspace").await.out(), "", "nothing is there before it is whole");
    do_it(guest, "/", Operation::MountWorkspace(MountWorkspace {}), b"").await;
    assert_eq!(shell(guest, "cd /workspace && cat src/main link").await.out(), "one\nfour");
    let again = ask(guest, "/", begin(), b"").await.1.unwrap_err();
    assert!(again.starts_with(reason::EXISTS), "{again}");
    let edit = "set -e; cd /workspace; rm -rf docs; mv src code; sed -i s/two/2/ code/lib/x; chmod 755 run
        touch link run; echo new >added; mkdir -p docs && echo three >docs/kept; touch -h link";
    let ended = shell(guest, edit).await;
    assert_eq!(ended.code(), 0, "{ended:?}");
    let replies = do_it(guest, "/", Operation::Changes(Changes::default()), b"").await;
    let told = replies.into_iter().map(|reply| {
        let Reply::Change(change) = reply else { panic!("{reply:?}") };
        let sign = match (change.before, change.after) {
            (None, _) => '+',
            (_, None) => '-',
            (Some(before), Some(after)) if before.digest == after.digest => 'm',
            _ => '~',
        };
        format!("{sign}{}", String::from_utf8(change.path).unwrap())
    });
    let expected = "+added +code +code/lib +code/lib/x +code/main +docs/kept -docs/old -docs/old/deep \
        -docs/old/deep/f mrun -src -src/lib -src/lib/x -src/main";
    assert_eq!(told.collect::<Vec<_>>().join(" "), expected);
    assert_eq!(
        shell(guest, "cat /var/lib/pyro/workspace/seed/src/lib/x").await.out(),
        "two",
        "the old version is read"
    );
    world.session.end().await.unwrap();
}
