//! The runtime on which all of a process runs.

use tokio::runtime::Builder;

/// About how many of its own tasks a thread polls before it looks at what others have handed in: what was started, or woken, from
/// outside of the runtime's threads. The runtime itself would choose by how long tasks have taken, some sixty where most are short; but a
/// consumer's turn takes half a millisecond, and beside a backlog a call from outside waited for several of them.
pub const OWN_TASKS_AT_ONCE: u32 = 2;

/// A runtime with a thread a core, as every app's binary has it, to be built; for a process that runs services by itself, or measures them.
///
/// ```
/// let runtime = divisi_host::runtime::builder().worker_threads(1).build()?;
/// assert_eq!(runtime.block_on(async { 1 + 1 }), 2);
/// # Ok::<_, std::io::Error>(())
/// ```
pub fn builder() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.global_queue_interval(OWN_TASKS_AT_ONCE).enable_all();
    builder
}
