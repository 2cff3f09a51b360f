//! A request on its way to a supervisor of any release.

use crate::Error;
use crate::failpoints::Failpoints;
use crate::supervisor::rpc::{Connection, Request, Welcome};

/// Puts a request to the supervisor that `connect` finds; its answers follow. `None` when there is none.
///
/// A supervisor of a release that says no hello hangs up at the hello, before it comes to the request. It is asked
/// again without one, so that the request is carried out once.
///
/// # Errors
/// It takes no request, or is of a release that cannot do it. Then it has carried out nothing.
pub async fn put_to<F: Future<Output = Result<Option<Connection>, Error>>>(
    failpoints: &dyn Failpoints,
    connect: impl Fn() -> F,
    request: &Request,
) -> Result<Option<Connection>, Error> {
    let Some(mut connection) = connect().await? else { return Ok(None) };
    failpoints.reached("ask.before");
    connection.ask(request).await;
    failpoints.reached("ask.sent");
    match connection.welcome().await? {
        // At the end of the conversation nothing follows.
        Welcome::Known | Welcome::HungUp => Ok(Some(connection)),
        Welcome::Refused(failure) => Err(Error::Remote { failure }),
        Welcome::NotUnderstood => {
            let Some(mut connection) = connect().await? else { return Ok(None) };
            connection.ask_without_hello(request).await?;
            failpoints.reached("ask.again");
            Ok(Some(connection))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::{Value, json};
    use tokio::net::UnixStream;

    use super::*;
    use crate::failpoints::NoFailpoints;
    use crate::supervisor::request::ExecRequest;
    use crate::supervisor::rpc::Reply;

    /// What release 2.1.0 knows, and what it says to everything else.
    const KNOWN: [&str; 9] = ["exec", "watch", "watch_task", "cancel", "start", "stop", "delete", "expire", "extend"];
    const NOT_KNOWN: &str =
        "the other side of the socket is of another release of pyro, and its message is not understood";

    /// What supervisors have carried out, and how many clients they have had.
    #[derive(Clone, Default)]
    struct Book(Arc<Mutex<(Vec<Value>, usize)>>);

    impl Book {
        /// A connection to another supervisor that answers as release 2.1.0: one message, and one answer.
        fn connect_to_2_1_0(&self) -> Connection {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let book = self.clone();
            book.0.lock().unwrap().1 += 1;
            tokio::spawn(async move {
                let mut connection = Connection::new(theirs);
                let Some(message) = connection.reader.message().await.unwrap() else { return };
                let message: Value = serde_json::from_slice(&message).unwrap();
                let answer = if KNOWN.contains(&message["ask"].as_str().unwrap()) {
                    book.0.lock().unwrap().0.push(message);
                    json!({"say": "accepted", "sequence": 1, "joined": false})
                } else {
                    let failure = json!({"error": NOT_KNOWN, "code": "invalid_argument", "hint": null});
                    json!({"say": "failed", "failure": failure})
                };
                connection.send(&answer).await.unwrap();
            });
            Connection::new(ours)
        }
    }

    fn command(length: usize) -> ExecRequest {
        ExecRequest {
            command: "x".repeat(length),
            cwd: "/".into(),
            environment: Vec::new(),
            timeout_us: 1,
            attempt_id: None,
            attached: false,
            stdin: false,
            then_delete: false,
        }
    }

    /// The longer one does not fit into a socket at once, so that the supervisor hangs up while it is written.
    #[tokio::test]
    async fn a_supervisor_of_the_first_generation_is_asked_again_and_runs_a_command_once() {
        for length in [4, 400_000] {
            let book = Book::default();
            let connect = || std::future::ready(Ok(Some(book.connect_to_2_1_0())));
            let request = Request::Exec(command(length).into());
            let mut connection = put_to(&NoFailpoints, connect, &request).await.unwrap().unwrap();
            assert_eq!(connection.reply().await.unwrap(), Some(Reply::Accepted { sequence: 1, joined: false }));
            let (carried_out, clients) = book.0.lock().unwrap().clone();
            assert_eq!(carried_out, [serde_json::to_value(&request).unwrap()]);
            assert_eq!(clients, 2, "once with a hello, once without");
        }
    }

    #[tokio::test]
    async fn what_the_first_generation_cannot_do_is_not_asked_of_it_and_both_releases_are_named() {
        let book = Book::default();
        let connect = || std::future::ready(Ok(Some(book.connect_to_2_1_0())));
        // A request that another generation has brought: what follows a hello never is one.
        let later = Request::Hello { generation: 9, release: "9.0.0".into(), needs: 9 };
        let error = put_to(&NoFailpoints, connect, &later).await.err().unwrap();
        assert_eq!(error.code(), "other_release");
        let text = format!(
            "the supervisor cannot do what is asked: its supervisor is of pyro 2.1.0 or earlier, and the client is of \
             pyro {}",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(error.to_string(), text);
        assert_eq!(error.hint().unwrap(), "use pyro 2.1.0 or earlier for it, or delete it and create another");
        assert_eq!(book.0.lock().unwrap().0, [] as [Value; 0]);
    }

    #[tokio::test]
    async fn a_supervisor_that_takes_nobody_is_not_asked_again() {
        let clients = &Mutex::new(0);
        let connect = || async move {
            *clients.lock().unwrap() += 1;
            let (ours, theirs) = UnixStream::pair().unwrap();
            let error = crate::error::Unavailable::TooManyClients { limit: 1 }.into();
            Connection::new(theirs).send(&Reply::failed(&error)).await.unwrap();
            Ok(Some(Connection::new(ours)))
        };
        let error = put_to(&NoFailpoints, connect, &Request::Delete).await.err().unwrap();
        assert_eq!((error.code(), *clients.lock().unwrap()), ("too_many_clients", 1));
    }
}
