//! The seam for serving calls: bytes in, bytes out, typed in between.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use divisi_contract::error::Chain;
use divisi_contract::{CallError, CauseKind, Context, Contract, KeptAnswers, Keyed, Refusal, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::BoxFuture;
use crate::caller::Call;

/// Serves the methods of one contract from bytes. Made by `#[contract]`.
pub trait Dispatch: Send + Sync + 'static {
    /// Runs `method` with encoded arguments. An unknown method and undecodable arguments are errors that say that
    /// nothing ran.
    fn dispatch(
        self: Arc<Self>,
        method: &str,
        cx: Context,
        arguments: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, CallError<Bytes>>>;
}

/// A service that serves one contract: for callers in this process, and for bytes from elsewhere.
#[derive(Clone)]
pub struct Served {
    contract: &'static Contract,
    dispatch: Arc<dyn Dispatch>,
    local: Arc<dyn Any + Send + Sync>,
}

impl Served {
    /// Made by the generated `serve`: `local` is an `Arc` of the contract's object-safe twin.
    pub fn new(
        contract: &'static Contract,
        dispatch: Arc<dyn Dispatch>,
        local: Arc<dyn Any + Send + Sync>,
    ) -> Served {
        Served { contract, dispatch, local }
    }

    /// The contract as data.
    pub fn contract(&self) -> &'static Contract {
        self.contract
    }

    /// The way in for bytes.
    pub fn dispatch(&self) -> &Arc<dyn Dispatch> {
        &self.dispatch
    }

    /// The way in for callers in this process.
    pub(crate) fn local(&self) -> &Arc<dyn Any + Send + Sync> {
        &self.local
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Served").field("contract", &self.contract.name).finish_non_exhaustive()
    }
}

/// What a keyed method finds when it is called.
pub enum Kept<T> {
    /// It ran before under this key: this is what it answered.
    Answer(T),
    /// It is to run, with this context.
    Run(Context),
}

/// Looks for a kept answer before a keyed method runs, and tells its `transact` under what to keep a new one.
///
/// Without an idempotency key the method runs like any other.
pub async fn keyed<T, R, A>(
    answers: Option<&Arc<dyn KeptAnswers>>,
    call: &Call,
    cx: Context,
    arguments: &A,
) -> Result<Kept<T>, CallError<R>>
where
    T: DeserializeOwned,
    R: Refusal,
    A: Serialize + ?Sized,
{
    let Some(key) = cx.idempotency_key().map(Arc::from) else { return Ok(Kept::Run(cx)) };
    let Some(answers) = answers else {
        return Err(CallError::not_run(
            CauseKind::Bug,
            format!(
                "`{}.{}` is keyed, but its service has no store to keep answers in",
                call.contract, call.method
            ),
        ));
    };
    let fingerprint = codec::fingerprint(arguments).map_err(malformed)?;
    let scope = format!("{}.{}/{}", call.contract, call.method, cx.caller());
    let keyed = Keyed::new(scope, key, fingerprint);
    match answers.kept(&keyed).await.map_err(CallError::widen)? {
        // It is kept, so it ran; an answer of an older version may be one that nobody can read now.
        Some(bytes) => codec::decode(&bytes).map(Kept::Answer).map_err(came_back_malformed),
        None => Ok(Kept::Run(cx.with_keyed(keyed))),
    }
}

/// Decodes the arguments of a call; nothing has run yet.
pub fn arguments<A: DeserializeOwned>(bytes: &[u8]) -> Result<A, CallError<Bytes>> {
    codec::decode(bytes).map_err(malformed)
}

/// Encodes what a method brought. The method has run, so an answer that cannot be encoded may have had its effect.
pub fn outcome<T: Serialize, R: Refusal>(answer: Result<T, CallError<R>>) -> Result<Bytes, CallError<Bytes>> {
    let encoded = match answer {
        Ok(value) => codec::encode(&value),
        Err(CallError::Refused(refusal)) => match codec::encode(&refusal) {
            Ok(bytes) => return Err(CallError::Refused(bytes)),
            Err(error) => Err(error),
        },
        Err(CallError::NotRun(cause)) => return Err(CallError::NotRun(cause)),
        Err(CallError::MayHaveRun(cause)) => return Err(CallError::MayHaveRun(cause)),
    };
    encoded.map_err(|error| CallError::unknown(CauseKind::Bug, with_source(&error)))
}

/// The error for a method that the contract does not have.
pub fn no_such_method<R>(contract: &str, method: &str) -> CallError<R> {
    CallError::not_run(
        CauseKind::NoSuchMethod,
        format!("contract `{contract}` has no method `{method}` here; is the callee an older version?"),
    )
}

pub(crate) fn malformed<R>(error: codec::CodecError) -> CallError<R> {
    CallError::not_run(CauseKind::Malformed, with_source(&error))
}

/// Bytes of an answer that is not what it should be: the method has run.
pub(crate) fn came_back_malformed<R>(error: codec::CodecError) -> CallError<R> {
    CallError::unknown(CauseKind::Malformed, with_source(&error))
}

/// What is wrong with a value, without the value: the sentence goes to other processes and into logs.
pub(crate) fn with_source(error: &codec::CodecError) -> String {
    without_values(&Chain(error).to_string())
}

/// A decoder's sentence without the text that it did not expect, which may be anybody's name: `string "…"`.
fn without_values(sentence: &str) -> String {
    let mut rest = sentence;
    let mut clean = String::with_capacity(sentence.len());
    while let Some((start, end)) = ["string \"", "variant `"]
        .iter()
        .filter_map(|opening| Some(rest.find(opening)? + opening.len()))
        .min()
        .map(|start| (start, closing(rest, start)))
    {
        clean.push_str(&rest[..start]);
        clean.push('…');
        rest = &rest[end..];
    }
    clean.push_str(rest);
    clean
}

/// Where the quotation that begins before `start` ends; a quote inside of it has a backslash.
fn closing(sentence: &str, start: usize) -> usize {
    let quote = sentence[..start].chars().next_back().unwrap_or('"');
    let mut escaped = false;
    for (at, letter) in sentence[start..].char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            letter if letter == quote => return start + at,
            _ => {}
        }
    }
    sentence.len()
}
