//! Takes an operator's commands in a running process: one question and one answer a connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tracing::{debug, error, info, warn};

use super::desk::Desk;
use super::protocol::{ANSWER_BYTES_MAX, QUESTION_BYTES_MAX, Question, Refused, Reply};
use super::socket::Listening;
use crate::task::Stopping;

/// Commands that are worked on at the same time; further ones wait.
const CONNECTIONS_MAX: usize = 8;
/// How long a connection may take to say its question.
const QUESTION_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long the other side may take to read the answer.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// What is left to commands under way when the process stops.
const END_WITHIN: Duration = Duration::from_millis(500);
/// After a failure to accept: it is the process that lacks something, which takes a while.
const ACCEPT_AGAIN: Duration = Duration::from_millis(200);

/// Answers at `listening` until it is told to stop; then commands under way have a moment to end.
pub(crate) async fn serve(listening: Listening, desk: Arc<Desk>, stopping: Stopping) -> io::Result<()> {
    let mut asked = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopping.requested() => break,
            Some(ended) = asked.join_next() => report(ended),
            accepted = listening.listener.accept(), if asked.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    let desk = Arc::clone(&desk);
                    asked.spawn(async move { answer(&desk, stream).await });
                }
                Err(error) => {
                    warn!(service.name = %desk.service(), "cannot take an operator's command: {error}");
                    sleep(ACCEPT_AGAIN).await;
                }
            },
        }
    }
    // From here on a command finds nobody, and waits until the database is free.
    drop(listening);
    let rest = async {
        while let Some(ended) = asked.join_next().await {
            report(ended);
        }
    };
    // What takes longer is aborted with its set: a transaction that has not committed is undone.
    let _ = timeout(END_WITHIN, rest).await;
    Ok(())
}

/// One connection, from its question to its answer.
async fn answer(desk: &Desk, stream: UnixStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    let mut bounded = (&mut stream).take(QUESTION_BYTES_MAX);
    timeout(QUESTION_WITHIN, bounded.read_until(b'\n', &mut line)).await??;
    let reply = match serde_json::from_slice(&line) {
        Ok(question) => asked(desk, question).await,
        Err(error) => Reply::Refused(Refused::new(format!(
            "this is no question that process {} knows ({error}); is it another version of the program?",
            std::process::id()
        ))),
    };
    let mut bytes = serde_json::to_vec(&reply)?;
    if bytes.len() as u64 >= ANSWER_BYTES_MAX {
        bytes = serde_json::to_vec(&Reply::Refused(Refused::new("the answer is too long; ask for less")))?;
    }
    bytes.push(b'\n');
    timeout(READ_WITHIN, async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    })
    .await?
}

async fn asked(desk: &Desk, question: Question) -> Reply {
    if question.changes() {
        info!(service.name = %desk.service(), "an operator asks `{}` for {question:?}", desk.service());
    }
    timeout(ANSWER_WITHIN, desk.answer(question)).await.unwrap_or_else(|_| {
        Reply::Refused(Refused::new(format!(
            "it was not done within {ANSWER_WITHIN:?}; whether it was done later is not known"
        )))
    })
}

fn report(ended: Result<io::Result<()>, JoinError>) {
    match ended {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!("an operator's connection broke: {error}"),
        Err(error) => error!("an operator's command was not answered: {error}"),
    }
}
