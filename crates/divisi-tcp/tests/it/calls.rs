//! What a call brings back.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use divisi_call::{Call, Caller, Request};
use divisi_contract::{CallError, CauseKind, Repeat, ServiceName, Trace};
use divisi_tcp::Limits;

use crate::support::*;

#[tokio::test]
async fn an_answer_and_a_refusal_come_back_as_they_were() {
    let server = Running::start(Limits::default()).await;
    let client = server.client();
    assert_eq!(ask(&client, &ECHO, &cx(), b"hello").await, Ok(Bytes::from_static(b"hello")));
    assert_eq!(ask(&client, &REFUSE, &cx(), b"no").await, Err(CallError::Refused(Bytes::from_static(b"no"))));
}
