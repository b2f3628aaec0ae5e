//! How deep bytes nest, found out before anything is made of them.
//!
//! A decoder goes down one call a level, and a stack that overflows ends the process. The decoder's own limit does not
//! count the levels of an enum, so it is counted here, without a call a level.

/// The deepest that a value may nest: as deep as JSON may at the edge.
pub(super) const DEPTH_MAX: usize = 128;

/// Whether no value in `bytes` nests deeper than [`DEPTH_MAX`]. Bytes that break off are the decoder's to complain of.
pub(super) fn is_shallow(bytes: &[u8]) -> bool {
    // A level has at least one byte.
    if bytes.len() <= DEPTH_MAX {
        return true;
    }
    // How many values are still to come on each level.
    let mut left = [0_u64; DEPTH_MAX];
    let mut depth = 0;
    let mut rest = bytes;
    while let Some(inside) = next(&mut rest) {
        if inside > 0 {
            let Some(level) = left.get_mut(depth) else { return false };
            *level = inside;
            depth += 1;
            continue;
        }
        while depth > 0 {
            left[depth - 1] -= 1;
            if left[depth - 1] > 0 {
                break;
            }
            depth -= 1;
        }
    }
    true
}

/// Passes over the head of a value, and over all of it when there are no values inside; says how many there are.
fn next(rest: &mut &[u8]) -> Option<u64> {
    let marker = take(rest, 1)?[0];
    let (skip, inside) = match marker {
        0x80..=0x8f => (0, 2 * u64::from(marker & 0x0f)),
        0x90..=0x9f => (0, u64::from(marker & 0x0f)),
        0xa0..=0xbf => (u64::from(marker & 0x1f), 0),
        0xc4 | 0xd9 => (number(rest, 1)?, 0),
        0xc5 | 0xda => (number(rest, 2)?, 0),
        0xc6 | 0xdb => (number(rest, 4)?, 0),
        0xc7 => (number(rest, 1)? + 1, 0),
        0xc8 => (number(rest, 2)? + 1, 0),
        0xc9 => (number(rest, 4)? + 1, 0),
        0xcc | 0xd0 => (1, 0),
        0xcd | 0xd1 | 0xd4 => (2, 0),
        0xd5 => (3, 0),
        0xca | 0xce | 0xd2 => (4, 0),
        0xd6 => (5, 0),
        0xcb | 0xcf | 0xd3 => (8, 0),
        0xd7 => (9, 0),
        0xd8 => (17, 0),
        0xdc => (0, number(rest, 2)?),
        0xdd => (0, number(rest, 4)?),
        0xde => (0, 2 * number(rest, 2)?),
        0xdf => (0, 2 * number(rest, 4)?),
        // Small numbers, nil and truth values are their own marker.
        _ => (0, 0),
    };
    take(rest, usize::try_from(skip).ok()?)?;
    Some(inside)
}

/// A length of `n` bytes.
fn number(rest: &mut &[u8], n: usize) -> Option<u64> {
    Some(take(rest, n)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(n)?;
    *rest = after;
    Some(taken)
}
