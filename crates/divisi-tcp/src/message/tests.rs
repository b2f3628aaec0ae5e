use super::*;
use crate::frame::{Decoder, Frame};

/// What was put, as the other side sees it.
fn travelled(put: impl FnOnce(&mut Outgoing)) -> Frame {
    let mut out = Outgoing::default();
    put(&mut out);
    let mut decoder = Decoder::new(usize::MAX);
    out.all().for_each(|piece| decoder.feed(piece));
    let frame = decoder.next_frame().expect("it is a frame").expect("it is whole");
    assert!(decoder.buffered().is_empty(), "nothing follows");
    frame
}

fn text(random: &mut fastrand::Rng, n_max: usize) -> String {
    let n = random.usize(0..=n_max);
    std::iter::repeat_with(|| random.alphanumeric()).take(n).collect()
}

#[test]
fn a_request_comes_back_as_it_was_put() {
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let caller = text(&mut random, CALLER_MAX);
        let key = text(&mut random, if seed % 100 == 0 { KEY_MAX } else { 40 });
        let n_arguments = random.usize(0..20_000);
        let arguments: Bytes = std::iter::repeat_with(|| random.u8(..)).take(n_arguments).collect();
        let head = RequestHead {
            contract: random.u16(..),
            method: random.u16(..),
            left: random.bool().then(|| Duration::from_micros(random.u64(..u64::MAX))),
            trace: Trace { trace_id: random.u128(..), span_id: random.u64(..), sampled: random.bool() },
            caller: &caller,
            key: random.bool().then_some(&key),
        };
        let frame = travelled(|out| {
            head.put(out, seed, &arguments);
        });
        assert_eq!((frame.kind, frame.id), (Kind::Request as u8, seed));
        let (back, offset) = RequestHead::parse(&frame.body).expect("it can be read");
        assert_eq!(back, head, "seed {seed}");
        assert_eq!(offset, head.len(), "seed {seed}");
        assert_eq!(frame.body.slice(offset..), arguments, "seed {seed}");
    }
}

#[test]
fn a_request_that_is_cut_off_is_an_error() {
    let trace = Trace { trace_id: 1, span_id: 2, sampled: true };
    let head = RequestHead { contract: 1, method: 2, left: None, trace, caller: "gateway", key: Some("k") };
    let frame = travelled(|out| {
        head.put(out, 1, &Bytes::new());
    });
    for n in 0..frame.body.len() {
        let cut = RequestHead::parse(&frame.body[..n]);
        assert!(matches!(cut, Err(MessageError::Short { .. })), "{n} bytes: {cut:?}");
    }
}

#[test]
fn an_extension_of_a_request_is_passed_over() {
    let trace = Trace { trace_id: 1, span_id: 2, sampled: true };
    let head = RequestHead { contract: 1, method: 2, left: None, trace, caller: "gateway", key: None };
    let frame = travelled(|out| {
        head.put(out, 1, &Bytes::new());
    });
    let mut newer = frame.body.to_vec();
    let length_at = newer.len() - 2;
    newer[length_at..].copy_from_slice(&3_u16.to_be_bytes());
    newer.extend_from_slice(b"newarguments");
    let (back, offset) = RequestHead::parse(&newer).expect("it can be read");
    assert_eq!((back, &newer[offset..]), (head, &b"arguments"[..]));
}

#[test]
fn random_bodies_are_messages_or_errors() {
    let (mut read, mut errors) = (0, 0);
    for seed in 0..50_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let n = random.usize(0..120);
        let mut body: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(n).collect();
        if let Some(outcome) = body.first_mut().filter(|_| random.bool()) {
            *outcome %= 4;
        }
        for ok in [RequestHead::parse(&body).is_ok(), parse_answer(Bytes::from(body)).is_ok()] {
            if ok { read += 1 } else { errors += 1 }
        }
    }
    assert!(read > 1_000 && errors > 1_000, "{read} were messages, {errors} were not");
}

#[test]
fn an_answer_comes_back_as_it_was_put() {
    let cause = Cause::new(CauseKind::Store, "the disk is full");
    let bytes = Bytes::from_static(b"value");
    for answer in [
        Ok(bytes.clone()),
        Ok(Bytes::from(vec![1; 100_000])),
        Err(CallError::Refused(bytes)),
        Err(CallError::NotRun(cause.clone())),
        Err(CallError::MayHaveRun(cause)),
    ] {
        let frame = travelled(|out| put_answer(out, 7, answer.clone(), 1 << 20));
        assert_eq!((frame.kind, frame.id), (Kind::Answer as u8, 7));
        assert_eq!(parse_answer(frame.body).expect("it can be read"), answer);
    }
}

#[test]
fn what_does_not_fit_says_whether_it_ran() {
    let large = Bytes::from(vec![1; 10_000]);
    let back = |answer| parse_answer(travelled(|out| put_answer(out, 7, answer, 8 * 1024)).body).unwrap();
    let answered = back(Ok(large.clone())).unwrap_err();
    assert!(answered.may_have_run(), "it did run: {answered:?}");
    let refused = back(Err(CallError::Refused(large))).unwrap_err();
    assert!(
        matches!(&refused, CallError::NotRun(cause) if cause.kind == CauseKind::AnswerTooLarge),
        "{refused:?}"
    );
    let wordy = Cause::new(CauseKind::Store, "ü".repeat(100_000));
    let worded = back(Err(CallError::MayHaveRun(wordy))).unwrap_err();
    let cause = worded.cause().unwrap();
    assert_eq!((cause.kind, cause.message.len()), (CauseKind::Store, CAUSE_MESSAGE_MAX));
}

#[test]
fn a_cause_from_the_future_is_a_cause() {
    #[derive(serde::Serialize)]
    struct Newer {
        kind: &'static str,
        message: &'static str,
        hint: u8,
    }
    let newer = Newer { kind: "eaten_by_a_cat", message: "meow", hint: 1 };
    let mut body = vec![2];
    body.extend_from_slice(&codec::encode(&newer).unwrap());
    let answer = parse_answer(Bytes::from(body)).expect("it can be read");
    assert_eq!(answer, Err(CallError::not_run(CauseKind::Unknown, "meow")));
}

#[test]
fn every_kind_has_its_number() {
    let known: Vec<u8> = (0..=u8::MAX).filter(|number| Kind::of(*number).is_some()).collect();
    assert_eq!(known, [0x01, 0x02, 0x03, 0x10, 0x11, 0x12, 0x20, 0x21, 0x22]);
    for number in known {
        assert_eq!(Kind::of(number).map(|kind| kind as u8), Some(number));
    }
    assert!(RESERVED_FOR_STREAMS.clone().all(|number| Kind::of(number).is_none()));
}
