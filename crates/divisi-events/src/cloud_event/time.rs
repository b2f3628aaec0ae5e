//! Times as RFC 3339 has them.

use divisi_store::Timestamp;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// The first instant of the year 0, and the last of 9999.
const MIN: i64 = -719_528 * DAY;
const MAX: i64 = 2_932_897 * DAY - 1;

/// A time in UTC to the microsecond; one outside of the years 0 to 9999 is written as the nearest inside.
pub(super) fn rfc3339(at: Timestamp) -> String {
    let at = at.0.clamp(MIN, MAX);
    let (year, month, day) = civil(at.div_euclid(DAY));
    let (second, micros) = (at.rem_euclid(DAY) / SECOND, at.rem_euclid(SECOND));
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

/// Reads a time with any offset; what is finer than a microsecond is cut.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let (year, month, day) = (number(date, 0, 4)?, number(date, 5, 2)?, number(date, 8, 2)?);
    let separated = date.as_bytes().get(4) == Some(&b'-') && date.as_bytes().get(7) == Some(&b'-');
    let (t, time, rest) = (rest.get(..1)?, rest.get(1..9)?, rest.get(9..)?);
    let (hour, minute, second) = (number(time, 0, 2)?, number(time, 3, 2)?, number(time, 6, 2)?);
    let colons = time.as_bytes().get(2) == Some(&b':') && time.as_bytes().get(5) == Some(&b':');
    // A leap second is the last of its minute.
    let in_range = hour < 24 && minute < 60 && second <= 60;
    if !separated || !colons || !in_range || !matches!(t, "T" | "t" | " ") {
        return None;
    }
    let days = days(year, month, day).filter(|days| civil(*days) == (year, month, day))?;
    let (micros, zone) = fraction(rest)?;
    let seconds = hour * 3_600 + minute * 60 + second.min(59) - offset(zone)?;
    Some(Timestamp(days * DAY + seconds * SECOND + micros))
}

/// The microseconds of `.123456…`, and what stands behind it.
fn fraction(rest: &str) -> Option<(i64, &str)> {
    let Some(rest) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let n_digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let six: String = rest.get(..n_digits.min(6))?.chars().chain("000000".chars()).take(6).collect();
    if n_digits == 0 { None } else { Some((six.parse().ok()?, rest.get(n_digits..)?)) }
}

/// The seconds of `Z` or `+01:30`.
fn offset(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let sign = match zone.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = (number(zone, 1, 2)?, number(zone, 4, 2)?);
    let whole = zone.len() == 6 && zone.get(3..4) == Some(":") && hours < 24 && minutes < 60;
    whole.then_some(sign * (hours * 3_600 + minutes * 60))
}

fn number(text: &str, from: usize, digits: usize) -> Option<i64> {
    let text = text.get(from..from + digits)?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The date so many days after 1970-01-01. Years begin in March here, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The days from 1970-01-01 to a date; the date itself need not be one.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}
