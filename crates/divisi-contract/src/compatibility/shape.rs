//! Whether what one JSON Schema writes can be read by another.

mod alternative;
mod number;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use alternative::Alternative;

/// How deep a shape is followed: deeper ones are recursive, and repeat themselves.
const DEPTH_MAX: usize = 24;

/// Words for people, which no reader of a value looks at.
const WORDS: [&str; 6] = ["$schema", "title", "description", "default", "examples", "deprecated"];

/// Who writes and who reads, when an old and a new side meet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides {
    newer_writes: bool,
    writers: &'static str,
    readers: &'static str,
}

/// Something that cannot be read.
#[derive(Debug)]
pub(super) struct Problem {
    /// Empty, or a dot and the fields to it.
    pub(super) path: String,
    pub(super) sentence: String,
}

impl Sides {
    pub(super) const SENT: Sides =
        Sides { newer_writes: false, writers: "older callers", readers: "newer services" };
    pub(super) const ANSWERED: Sides =
        Sides { newer_writes: true, writers: "newer services", readers: "older callers" };
    pub(super) const PUBLISHED: Sides =
        Sides { newer_writes: true, writers: "newer events", readers: "older consumers" };
    pub(super) const STORED: Sides =
        Sides { newer_writes: false, writers: "older events", readers: "newer consumers" };
}

/// Everything that the reader of `sides` cannot read.
pub(super) fn problems(old: &Value, new: &Value, sides: Sides) -> Vec<Problem> {
    let (writer, reader) = if sides.newer_writes { (new, old) } else { (old, new) };
    let mut look = Look { writer_root: writer, reader_root: reader, sides, problems: Vec::new() };
    look.read(writer, reader, "", 0);
    look.problems
}

/// Whether `null`, and so an absent argument, is a value of this shape.
pub(super) fn may_be_null(schema: &Value) -> bool {
    alternative::of(schema, schema).iter().any(Alternative::takes_null)
}

/// The path of every field, each with a dot in front.
pub(super) fn fields(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_fields(schema, schema, "", 0, &mut found);
    found
}

/// The schema without what is for people only.
pub(super) fn without_words(schema: &Value) -> Value {
    match schema {
        Value::Object(map) => Value::Object(
            map.iter()
                .filter(|(key, value)| !WORDS.contains(&key.as_str()) || value.is_object())
                .map(|(key, value)| (key.clone(), without_words(value)))
                .collect(),
        ),
        Value::Array(values) => values.iter().map(without_words).collect(),
        other => other.clone(),
    }
}

fn collect_fields(root: &Value, schema: &Value, path: &str, depth: usize, found: &mut BTreeSet<String>) {
    // A recursive shape has all its fields once it has been followed a few times.
    if depth > 6 {
        return;
    }
    for alternative in alternative::of(root, schema) {
        for (name, field) in alternative.properties().into_iter().flatten() {
            let path = format!("{path}.{name}");
            found.insert(path.clone());
            collect_fields(root, field, &path, depth + 1, found);
        }
        for inner in alternative.inner() {
            collect_fields(root, inner, path, depth + 1, found);
        }
    }
}

struct Look<'a> {
    writer_root: &'a Value,
    reader_root: &'a Value,
    sides: Sides,
    problems: Vec<Problem>,
}

impl<'a> Look<'a> {
    /// Notes what `reader` cannot read of what `writer` writes.
    fn read(&mut self, writer: &'a Value, reader: &'a Value, path: &str, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let written = alternative::of(self.writer_root, writer);
        let readable = alternative::of(self.reader_root, reader);
        for one in &written {
            self.read_alternative(one, &readable, path, depth);
        }
    }

    /// One alternative of the writer needs one of the reader's.
    fn read_alternative(
        &mut self,
        one: &Alternative<'a>,
        readable: &[Alternative<'a>],
        path: &str,
        depth: usize,
    ) {
        let mut best: Option<Vec<Problem>> = None;
        for candidate in readable.iter().filter(|candidate| candidate.is_like(one)) {
            let mut look = Look { problems: Vec::new(), ..*self };
            look.read_as(one, candidate, path, depth);
            if look.problems.is_empty() {
                return;
            }
            if best.as_ref().is_none_or(|best| look.problems.len() < best.len()) {
                best = Some(look.problems);
            }
        }
        match best {
            Some(problems) => self.problems.extend(problems),
            None => {
                let Sides { writers, readers, .. } = self.sides;
                let known: BTreeSet<String> = readable.iter().map(Alternative::name).collect();
                let known: Vec<String> = known.into_iter().collect();
                let known = if known.is_empty() { "nothing".to_owned() } else { known.join(" or ") };
                self.note(path, format!("{writers} may write {}, and {readers} read {known}", one.name()));
            }
        }
    }

    fn read_as(&mut self, writer: &Alternative<'a>, reader: &Alternative<'a>, path: &str, depth: usize) {
        if reader.is_anything() {
            return;
        }
        if writer.is_anything() {
            let Sides { writers, readers, .. } = self.sides;
            self.note(path, format!("{writers} may write anything, and {readers} read {}", reader.name()));
            return;
        }
        self.read_limits(writer, reader, path);
        self.read_fields(writer, reader, path, depth);
        self.read_items(writer, reader, path, depth);
    }

    fn read_limits(&mut self, writer: &Alternative<'a>, reader: &Alternative<'a>, path: &str) {
        let Sides { writers, readers, .. } = self.sides;
        for limit in number::LIMITS.iter().filter(|limit| limit.bounds(writer.kind())) {
            let (written, read) = (limit.of(writer.map()), limit.of(reader.map()));
            if !read.holds(&written) {
                self.note(
                    path,
                    format!("{readers} read {} {read}, and {writers} write {written}", limit.what),
                );
            }
        }
        for keyword in ["pattern", "format"] {
            let read = reader.text(keyword).filter(|_| writer.kind() == Some("string"));
            if let Some(read) = read
                && writer.text(keyword) != Some(read)
            {
                self.note(path, format!("{readers} read the {keyword} `{read}` only"));
            }
        }
    }

    fn read_fields(&mut self, writer: &Alternative<'a>, reader: &Alternative<'a>, path: &str, depth: usize) {
        let Sides { writers, readers, .. } = self.sides;
        let empty = Map::new();
        let written = writer.properties().unwrap_or(&empty);
        for name in reader.required() {
            if !written.contains_key(name) {
                self.note(
                    &format!("{path}.{name}"),
                    format!("{readers} need it, and {writers} do not have it"),
                );
            } else if !writer.required().any(|required| required == name) {
                self.note(
                    &format!("{path}.{name}"),
                    format!("{readers} need it, and {writers} may leave it out"),
                );
            }
        }
        let Some(written) = writer.properties() else {
            self.read_rest(writer, reader, path, depth);
            return;
        };
        for (name, field) in written {
            let path = format!("{path}.{name}");
            match reader.properties().and_then(|known| known.get(name)) {
                Some(known) => self.read(field, known, &path, depth + 1),
                None => match reader.rest() {
                    Some(Value::Bool(false)) => {
                        self.note(&path, format!("{readers} refuse fields they do not know"))
                    }
                    Some(rest @ Value::Object(_)) => self.read(field, rest, &path, depth + 1),
                    _ => {}
                },
            }
        }
        self.read_rest(writer, reader, path, depth);
    }

    /// The values of a map.
    fn read_rest(&mut self, writer: &Alternative<'a>, reader: &Alternative<'a>, path: &str, depth: usize) {
        if let (Some(written @ Value::Object(_)), Some(read @ Value::Object(_))) =
            (writer.rest(), reader.rest())
        {
            self.read(written, read, &format!("{path}.*"), depth + 1);
        }
    }

    fn read_items(&mut self, writer: &Alternative<'a>, reader: &Alternative<'a>, path: &str, depth: usize) {
        let path = format!("{path}[]");
        if let (Some(written), Some(read)) = (writer.items(), reader.items()) {
            self.read(written, read, &path, depth + 1);
        }
        for (written, read) in writer.places().iter().zip(reader.places()) {
            self.read(written, read, &path, depth + 1);
        }
    }

    fn note(&mut self, path: &str, sentence: String) {
        self.problems.push(Problem { path: path.to_owned(), sentence });
    }
}
