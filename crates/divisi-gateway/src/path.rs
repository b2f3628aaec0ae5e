//! Paths: what a route looks like, and what a request's path says for its arguments.

use divisi_contract::FieldError;

/// The path of a route, in segments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(Vec<Segment>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Text(&'static str),
    Argument(&'static str),
}

impl Template {
    /// Reads `/posts/{post}/comments`; the error says what is wrong with it.
    pub(crate) fn parse(path: &'static str) -> Result<Template, String> {
        let Some(rest) = path.strip_prefix('/') else {
            return Err("a path starts with `/`".to_owned());
        };
        if rest.is_empty() {
            return Ok(Template(Vec::new()));
        }
        let mut template = Template(Vec::new());
        for text in rest.split('/') {
            let segment = match text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
                Some(name) if name.is_empty() || name.contains(['{', '}', '*']) => None,
                Some(name) if template.arguments().any(|other| other == name) => {
                    return Err(format!("the argument `{name}` stands twice in it"));
                }
                Some(name) => Some(Segment::Argument(name)),
                None => is_plain(text).then_some(Segment::Text(text)),
            };
            template.0.push(segment.ok_or_else(|| {
                format!("`{text}` is neither plain letters, digits and `-_.~` nor one argument in braces")
            })?);
        }
        Ok(template)
    }

    /// The names of its arguments, in order.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Argument(name) => Some(*name),
            Segment::Text(_) => None,
        })
    }

    /// The same path without the names of its arguments: two routes with one pattern meet the same requests.
    pub(crate) fn pattern(&self) -> String {
        if self.0.is_empty() {
            return "/".to_owned();
        }
        let mut pattern = String::new();
        for (n, segment) in self.0.iter().enumerate() {
            pattern.push('/');
            match segment {
                Segment::Text(text) => pattern.push_str(text),
                Segment::Argument(_) => pattern.push_str(&format!("{{a{n}}}")),
            }
        }
        pattern
    }

    /// What `path`, which has met this pattern, says for the arguments. What cannot be read goes to `wrong`.
    pub(crate) fn read(&self, path: &str, wrong: &mut Vec<FieldError>) -> Vec<(&'static str, String)> {
        let mut arguments = Vec::new();
        for (segment, text) in self.0.iter().zip(path.split('/').skip(1)) {
            let Segment::Argument(name) = segment else { continue };
            match decoded(text, Plus::IsPlus) {
                Ok(value) => arguments.push((*name, value)),
                Err(message) => wrong.push(FieldError::of(*name, message)),
            }
        }
        arguments
    }
}

/// What a `+` stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// For itself, as in a path.
    IsPlus,
    /// For a space, as in a form.
    IsSpace,
}

/// Text without its percent-encoding; the error is a sentence about it.
pub(crate) fn decoded(text: &str, plus: Plus) -> Result<String, &'static str> {
    let plus_is_space = plus == Plus::IsSpace;
    if !text.bytes().any(|byte| byte == b'%' || (plus_is_space && byte == b'+')) {
        return Ok(text.to_owned());
    }
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let (high, low) = (bytes.next().and_then(digit), bytes.next().and_then(digit));
                let (Some(high), Some(low)) = (high, low) else {
                    return Err("has a `%` that is not followed by two hexadecimal digits");
                };
                high << 4 | low
            }
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| "is not UTF-8 once it is percent-decoded")
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
}

#[cfg(test)]
mod tests;
