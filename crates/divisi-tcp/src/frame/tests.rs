use super::*;

const MAX: usize = 1_000;

fn encoded(kind: u8, id: u64, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(COUNTED + body.len()).unwrap();
    [&length.to_be_bytes()[..], &[kind], &id.to_be_bytes(), body].concat()
}

#[test]
fn frames_come_back_however_their_bytes_are_split() {
    for seed in 0..2_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let frames: Vec<Frame> = (0..random.usize(1..12))
            .map(|_| {
                let n = random.usize(0..=MAX - COUNTED);
                let body = std::iter::repeat_with(|| random.u8(..)).take(n).collect();
                Frame { kind: random.u8(..), id: random.u64(..), body }
            })
            .collect();
        let bytes: Vec<u8> =
            frames.iter().flat_map(|frame| encoded(frame.kind, frame.id, &frame.body)).collect();
        let (mut decoder, mut came, mut rest) = (Decoder::new(MAX), Vec::new(), &bytes[..]);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(random.usize(1..=rest.len().min(700)));
            decoder.feed(now);
            rest = later;
            while let Some(frame) = decoder.next_frame().expect("they are frames") {
                came.push(frame);
            }
        }
        assert_eq!(came, frames, "seed {seed}");
        assert!(decoder.buffered().is_empty(), "seed {seed}");
    }
}

#[test]
fn random_bytes_are_frames_or_an_error() {
    let mut errors = 0;
    for seed in 0..20_000 {
        let mut random = fastrand::Rng::with_seed(seed);
        let n = random.usize(0..200);
        let mut bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(n).collect();
        if random.bool() {
            // Half of them begin with a length that could be one.
            for (byte, small) in bytes.iter_mut().zip([0, 0, 0, random.u8(..)]) {
                *byte = small;
            }
        }
        let mut decoder = Decoder::new(MAX);
        for part in bytes.chunks(random.usize(1..50)) {
            decoder.feed(part);
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => assert!(frame.body.len() <= MAX - COUNTED),
                    Ok(None) => break,
                    Err(_) => {
                        errors += 1;
                        break;
                    }
                }
            }
        }
    }
    assert!(errors > 1_000, "most random bytes are no frames");
}

#[test]
fn a_lie_about_the_length_costs_no_memory() {
    let max = 16 * 1024 * 1024;
    let mut decoder = Decoder::new(max);
    decoder.feed(&u32::try_from(max).unwrap().to_be_bytes());
    decoder.feed(&[0; 100]);
    for _ in 0..1_000 {
        assert_eq!(decoder.next_frame(), Ok(None), "it may still come");
        decoder.space();
    }
    assert!(decoder.buffer.capacity() <= 2 * READ_CHUNK, "{} bytes", decoder.buffer.capacity());
}

#[test]
fn an_idle_connection_keeps_little_after_a_large_frame() {
    let mut decoder = Decoder::new(16 * 1024 * 1024);
    for _ in 0..3 {
        decoder.feed(&encoded(1, 2, &vec![0; 8 * 1024 * 1024]));
        assert!(decoder.next_frame().unwrap().is_some());
        decoder.space();
        decoder.space();
        assert!(decoder.buffer.capacity() <= KEEP_MAX, "{} bytes", decoder.buffer.capacity());
    }
}

#[test]
fn lengths_at_the_limits() {
    let check = |length: u32, expected: Result<Option<usize>, FrameError>| {
        let mut decoder = Decoder::new(MAX);
        decoder.feed(&length.to_be_bytes());
        decoder.feed(&[0; MAX]);
        assert_eq!(
            decoder.next_frame().map(|frame| frame.map(|frame| frame.body.len())),
            expected,
            "{length}"
        );
    };
    check(0, Err(FrameError::TooShort { length: 0 }));
    check(8, Err(FrameError::TooShort { length: 8 }));
    check(9, Ok(Some(0)));
    check(1_000, Ok(Some(991)));
    check(1_001, Err(FrameError::TooLarge { length: 1_001, max: MAX }));
    check(u32::MAX, Err(FrameError::TooLarge { length: u32::MAX as usize, max: MAX }));
}

#[test]
fn a_body_is_a_slice_of_what_was_read() {
    let mut decoder = Decoder::new(MAX);
    decoder.feed(&encoded(1, 2, &[7; 500]));
    let read_to = decoder.buffered()[HEADER..].as_ptr();
    let frame = decoder.next_frame().unwrap().unwrap();
    assert_eq!(frame.body.as_ptr(), read_to);
}
