//! People who write and never give up, and a book of what they were promised.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use divisi_testkit::eventually;

use crate::blog::Writer;

/// A post gets so many comments before its writer begins the next one.
const COMMENTS_PER_POST: usize = 8;
/// How long some more writes may take, with processes dying all the time.
const PROGRESS: Duration = Duration::from_secs(30);

/// Writers at work. Each write has an idempotency key and is repeated under it until it is acknowledged.
pub(crate) struct Load {
    progress: Arc<Progress>,
    writers: Vec<JoinHandle<Written>>,
}

/// What was acknowledged. Nothing else was ever tried: a writer ends only with an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// By id.
    pub(crate) posts: BTreeMap<String, Post>,
}

/// A post with its comments, in the order in which they were acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Post {
    pub(crate) title: String,
    pub(crate) comments: Vec<Comment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment {
    pub(crate) id: String,
    pub(crate) content: String,
}

#[derive(Default)]
struct Progress {
    stop: AtomicBool,
    acknowledged: AtomicUsize,
}

impl Load {
    /// Starts `n_writers`; `name` makes their texts and keys their own.
    pub(crate) fn start(address: SocketAddr, name: &str, n_writers: usize) -> Load {
        let progress = Arc::<Progress>::default();
        let writer = |n| {
            let (name, progress) = (format!("{name}-{n}"), Arc::clone(&progress));
            std::thread::spawn(move || write(address, &name, &progress))
        };
        Load { writers: (0..n_writers).map(writer).collect(), progress }
    }

    /// How many writes have been acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.progress.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until `n` more writes have been acknowledged.
    pub(crate) fn goes_on(&self, n: usize) {
        let wanted = self.acknowledged() + n;
        // A writer that panicked would be waited for in vain: its panic comes out of `end`.
        let look = || (self.acknowledged(), self.writers.iter().any(JoinHandle::is_finished));
        eventually("more writes", PROGRESS, look, |(n, gave_up)| *n >= wanted || *gave_up);
    }

    /// Lets each writer get the answer that it waits for.
    pub(crate) fn end(self) -> Written {
        self.progress.stop.store(true, Ordering::SeqCst);
        let mut all = Written::default();
        for writer in self.writers {
            let written = writer.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.add(written);
        }
        all
    }
}

impl Written {
    /// Adds what others have written.
    pub(crate) fn add(&mut self, more: Written) {
        self.posts.extend(more.posts);
    }

    pub(crate) fn n_comments(&self) -> usize {
        self.posts.values().map(|post| post.comments.len()).sum()
    }
}

/// Two in seven are rejected.
fn content(name: &str, n: usize) -> String {
    let fruit = if n % 7 < 2 { "Oranges" } else { "apples" };
    format!("{fruit} {n} of {name}")
}

/// Every text is another, so it can be its own key.
fn key(text: &str) -> String {
    text.replace(' ', "-")
}

fn write(address: SocketAddr, name: &str, progress: &Progress) -> Written {
    let mut writer = Writer::new(address);
    let mut written = Written::default();
    let mut n = 0;
    while !progress.stop.load(Ordering::SeqCst) {
        let title = format!("post {n} of {name}");
        let id = writer.post(&title, &key(&title));
        progress.acknowledged.fetch_add(1, Ordering::SeqCst);
        let mut post = Post { title, comments: Vec::new() };
        while post.comments.len() < COMMENTS_PER_POST && !progress.stop.load(Ordering::SeqCst) {
            n += 1;
            let content = content(name, n);
            let comment = writer.comment(&id, &content, &key(&content));
            progress.acknowledged.fetch_add(1, Ordering::SeqCst);
            post.comments.push(Comment { id: comment, content });
        }
        // Said once more, as by somebody who lost the answer: it is the same one.
        assert_eq!(writer.post(&post.title, &key(&post.title)), id, "the same key and body");
        if let Some(Comment { id: comment, content }) = post.comments.last() {
            assert_eq!(&writer.comment(&id, content, &key(content)), comment, "the same key and body");
        }
        written.posts.insert(id, post);
        n += 1;
    }
    written
}
