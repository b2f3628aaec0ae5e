//! The life of a projection: live, building, flipping. Each state is a method, `run` the loop between them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use divisi_contract::error::Chain;
use divisi_store::projection::ProjectionRow;
use divisi_store::{Store, StoreError, failpoint};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{info, warn};

use super::control::Change;
use super::removing::Removal;
use super::running::Running;
use super::{Input, Projection, ProjectionError, Wanted, following, open_version};
use crate::consumer::{ConsumerOptions, LeasedLanes, Share};

/// How far behind the sources' ends a new version may be when the flip begins.
pub const BEHIND_MAX: i64 = 1_000;
/// How long the old version may stand still while the new one reaches it.
pub const FLIP_TIME: Duration = Duration::from_secs(2);
/// The same where other instances must hear of it first, and let their consumers stand still.
const FLIP_TIME_AMONG_OTHERS: Duration = Duration::from_secs(5);
/// How long a version stands still for the sake of another instance, which may have died.
const STILL_MAX: Duration = Duration::from_secs(10);
/// How long to wait after the first flip that came to nothing; doubled each time, up to sixteen times as long.
pub const FLIP_AGAIN: Duration = Duration::from_secs(10);
/// How long to wait after an instance could not go on to the version that the others have taken.
const TAKE_AGAIN: Duration = Duration::from_secs(1);
/// How often a new version's way is measured.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Events of one transaction while history is read: bigger than live, since nobody waits for one of them.
pub const HISTORY_BATCH_EVENTS: usize = 500;

/// What there is to do beside a version that is being built.
enum Near {
    /// It may take over.
    Ready,
    /// Another instance has changed the row.
    Moved(ProjectionRow),
    /// Time has passed.
    Look,
}

/// What ended a state.
enum Next {
    Stop,
    Rebuild,
    /// Another instance has gone on to another version.
    Join,
    Live,
}

impl Projection {
    /// Keeps the projection up to date until `stop`: folds what arrives, rebuilds when asked or when its shape changed.
    /// The batches under way end first, and the sources are told how far it is.
    pub async fn run(
        mut self,
        inputs: Vec<Input>,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), ProjectionError> {
        let mut stop = std::pin::pin!(stop);
        if self.building.is_none() && self.row.shape != self.spec.shape {
            info!(
                projection.name = self.spec.name,
                from = self.row.shape,
                to = self.spec.shape,
                "another shape: rebuilding"
            );
            self.wanted = Some(Wanted::Shape);
        }
        let ended = loop {
            let next = tokio::select! {
                biased;
                () = &mut stop => Ok(Next::Stop),
                next = self.state(&inputs) => next,
            };
            match next {
                Ok(Next::Stop) => break Ok(()),
                Ok(Next::Rebuild) => match self.begin().await {
                    Ok(()) => {}
                    // It is written down, and tried again.
                    Err(error @ ProjectionError::Open { .. }) => self.cannot_open(&error),
                    Err(error) => break Err(error),
                },
                Ok(Next::Join) => self.join().await,
                Ok(Next::Live) => {}
                Err(error) => break Err(error),
            }
        };
        tokio::join!(stop_running(&mut self.active), stop_running(&mut self.new));
        // Others need not wait for a version that does not take over after all.
        self.flips_no_more().await;
        ended?;
        if let Some(reading) = self.reading.take() {
            reading.end().await;
        }
        self.close().await;
        Ok(())
    }

    async fn state(&mut self, inputs: &[Input]) -> Result<Next, ProjectionError> {
        match self.building.clone() {
            None => self.live(inputs).await,
            Some((number, store)) => self.build(number, store, inputs).await,
        }
    }

    /// One version, kept up to date; the one before is removed when its time is over. A new one begins when it is wanted
    /// and nothing is in its way.
    async fn live(&mut self, inputs: &[Input]) -> Result<Next, ProjectionError> {
        let (mut removal, reader) = (Removal::default(), self.reader());
        loop {
            let not_before = self.open_again_at.filter(|at| *at > Instant::now());
            let goes_on = self.has_gone_on();
            if goes_on && not_before.is_none() {
                return Ok(Next::Join);
            }
            let still_until = self.stands_still_until();
            if still_until.is_some() {
                stop_running(&mut self.active).await;
            } else if self.active.is_none() {
                self.active = self.start_old(inputs);
            }
            let due = if goes_on || self.wanted.is_some() { Some(Instant::now()) } else { self.expires() };
            let due = removal.not_before(due).map(|due| not_before.map_or(due, |at| due.max(at)));
            tokio::select! {
                biased;
                Some(()) = self.rebuilds.recv() => self.wanted = Some(Wanted::Asked),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    if goes_on {
                        continue;
                    }
                    let removed = if self.wanted.is_some() { self.make_way().await } else { self.forget_previous().await };
                    if removal.went(self.spec.name, removed)? && self.wanted.is_some() {
                        return Ok(Next::Rebuild);
                    }
                }
                row = following::moved(&self.control, self.spec.name, &self.row) => self.noticed(row).await,
                () = following::abandoned(&self.control, &self.row, (&reader, self.spec.shape)), if self.wanted.is_none() => {
                    info!(projection.name = self.spec.name, "who was building a new version is gone, it is built here");
                    self.wanted = Some(Wanted::Shape);
                }
                () = sleep_until(still_until.unwrap_or_else(Instant::now)), if still_until.is_some() => {}
                () = ended(&mut self.active) => return Err(ProjectionError::Stopped { name: self.spec.name.to_owned() }),
            }
        }
    }

    /// The old version goes on beside the new one, which reads the whole history; then the flip is tried.
    async fn build(&mut self, number: u32, store: Store, inputs: &[Input]) -> Result<Next, ProjectionError> {
        let versions = (&self.versions, number);
        let how = (self.share(number), history_options());
        self.new = Some(Running::start(&self.spec, versions, store.clone(), inputs, how));
        let mut not_before = Instant::now();
        loop {
            // The old version goes on, if it does not stand still for this one. One that others have gone on from stands still until it is
            // left here, too.
            let still_until = self.stands_still_until();
            if self.active.is_none() && self.row.active != number && still_until.is_none() {
                self.active = self.start_old(inputs);
            }
            match self.near_the_end(&store, inputs, (not_before, still_until)).await? {
                Near::Ready => {}
                Near::Look => continue,
                Near::Moved(row) => {
                    if self.noticed_beside(row, number, &store).await {
                        stop_running(&mut self.new).await;
                        return Ok(Next::Live);
                    }
                    if self.row.active == number {
                        not_before = Instant::now();
                    }
                    continue;
                }
            }
            if self.flip(number, &store, inputs).await? {
                stop_running(&mut self.new).await;
                return Ok(Next::Live);
            }
            // Where others have taken it already, nobody stands still for this one.
            let pause = if self.row.active == number {
                TAKE_AGAIN
            } else {
                FLIP_AGAIN * 2_u32.pow(self.flips_refused.min(4))
            };
            not_before = Instant::now() + pause;
            self.flips_refused += 1;
        }
    }

    /// Until when the version that is read stands still here, too, since another instance lets a version take over; not for long, since that
    /// one may have died.
    fn stands_still_until(&mut self) -> Option<Instant> {
        let flipping = self.row.flipping && !self.is_alone();
        self.still_since = flipping.then(|| self.still_since.unwrap_or_else(Instant::now));
        self.still_since.map(|since| since + STILL_MAX).filter(|until| *until > Instant::now())
    }

    /// Waits until the new version is near the ends of all logs, and it is not before some moment; or until there is something else to look
    /// at.
    async fn near_the_end(
        &mut self,
        store: &Store,
        inputs: &[Input],
        (not_before, still_until): (Instant, Option<Instant>),
    ) -> Result<Near, ProjectionError> {
        loop {
            if still_until.is_some_and(|until| until <= Instant::now()) {
                return Ok(Near::Look);
            }
            if Instant::now() >= not_before {
                match self.behind(store, inputs).await {
                    Ok(behind) if behind < BEHIND_MAX => return Ok(Near::Ready),
                    Ok(_) => {}
                    // A source that is away is waited for, and the consumer says so.
                    Err(error) => {
                        tracing::debug!(
                            projection.name = self.spec.name,
                            "cannot measure the way yet: {error}"
                        )
                    }
                }
            }
            let look = Instant::now() + LOOK_EVERY;
            tokio::select! {
                biased;
                () = ended(&mut self.new) => return Err(ProjectionError::Stopped { name: self.spec.name.to_owned() }),
                () = ended(&mut self.active) => return Err(ProjectionError::Stopped { name: self.spec.name.to_owned() }),
                row = following::looked(&self.control, self.spec.name, &self.row) => {
                    if let Some(row) = row {
                        return Ok(Near::Moved(row));
                    }
                    sleep_until(look).await;
                }
            }
        }
    }

    /// The old version stands still, the new one reaches it, readers get the new one. `false`: not in time.
    ///
    /// Where other instances have taken it already, readers here get it as soon as it has what the old one has.
    async fn flip(&mut self, version: u32, store: &Store, inputs: &[Input]) -> Result<bool, ProjectionError> {
        failpoint::hit("rebuild.caught_up");
        let name = self.spec.name;
        let is_taken = self.row.active == version;
        if !is_taken {
            self.flips = Some(version);
            self.change(Change::Flipping { version, flipping: true }).await?;
        }
        stop_running(&mut self.active).await;
        failpoint::hit("rebuild.paused");
        let began = Instant::now();
        let mut lacks = None;
        let limit = if self.is_alone() { FLIP_TIME } else { FLIP_TIME_AMONG_OTHERS };
        let reached = timeout(limit, async {
            if !is_taken {
                lacks = Some("another instance goes on with the old version".to_owned());
                self.stands_still_everywhere().await?;
            }
            self.reaches((store, is_taken), inputs, &mut lacks).await
        })
        .await;
        let mut refused = match reached {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(lacks.unwrap_or_else(|| "the old version does not say where it is".to_owned())),
        };
        if refused.is_none() {
            failpoint::hit("rebuild.before_flip");
            if !is_taken {
                self.change(Change::Flip { version, old: self.old() }).await?;
            }
            if self.row.building == Some((version, self.spec.shape)) {
                refused = Some("another instance goes on with the old version again".to_owned());
            }
        }
        if let Some(why) = refused {
            warn!(
                projection.name = name,
                "the new version does not take over yet, after {:?}: {why}",
                began.elapsed()
            );
            self.flips_no_more().await;
            return Ok(false);
        }
        self.flips = None;
        failpoint::hit("rebuild.after_flip");
        if self.row.active == version {
            self.takes_over(version, store.clone()).await;
        } else {
            // Another program of the service has begun another one instead.
            self.give_up(store).await;
        }
        Ok(true)
    }

    /// Takes back that a version is about to take over, if this instance has said so.
    async fn flips_no_more(&mut self) {
        let Some(version) = self.flips else { return };
        let back = self.change(Change::Flipping { version, flipping: false });
        match timeout(FLIP_TIME, back).await {
            Ok(Ok(())) => self.flips = None,
            Ok(Err(error)) => warn!(projection.name = self.spec.name, "{}", Chain(&error)),
            // Others do not wait for it for ever, nor does the next start.
            Err(_) => warn!(
                projection.name = self.spec.name,
                "it could not be written down that the new version does not take over"
            ),
        }
    }

    /// A new version begins, empty. The caller has made way for it.
    async fn begin(&mut self) -> Result<(), ProjectionError> {
        let (name, shape) = (self.spec.name, self.spec.shape);
        let version = match self.row.building {
            Some((version, building)) if building == shape => version,
            _ if self.is_alone() => {
                let version = self.row.active + 1;
                self.change(Change::Build { version, shape }).await?;
                version
            }
            // Others had changed something, which is looked at first.
            _ => return Ok(()),
        };
        failpoint::hit("rebuild.begun");
        let store = open_version(&self.spec, &self.stores, (version, self.spec.shape)).await?;
        self.builds(version, store);
        self.wanted = None;
        failpoint::hit("rebuild.opened");
        info!(projection.name = name, version, "a new version is being built");
        Ok(())
    }

    /// Begins a rebuild and closes everything, where the projection does not run: it goes on at the next start. The
    /// number of the new version; one that is being built already is left as it is.
    pub async fn begin_and_close(mut self) -> Result<u32, ProjectionError> {
        if self.building.is_none() {
            self.make_way().await?;
            self.begin().await?;
        }
        let number = self.row.building.map_or(self.row.active, |(number, _)| number);
        if let Some(reading) = self.reading.take() {
            reading.end().await;
        }
        self.close().await;
        Ok(number)
    }

    /// After a start: goes on with what was under way.
    pub(super) async fn resume(&mut self) -> Result<(), ProjectionError> {
        match self.row.building {
            Some((version, shape)) if shape == self.spec.shape => {
                if self.row.flipping && self.is_alone() {
                    // The process was killed meanwhile.
                    self.change(Change::Flipping { version, flipping: false }).await?;
                }
                match open_version(&self.spec, &self.stores, (version, self.spec.shape)).await {
                    Ok(store) => self.builds(version, store),
                    Err(error) => {
                        self.cannot_open(&error);
                        self.wanted = Some(Wanted::Shape);
                        return Ok(());
                    }
                }
                info!(projection.name = self.spec.name, version, "a rebuild goes on where it was");
                failpoint::hit("rebuild.opened");
            }
            // The program changed again meanwhile: what was built of the shape before is removed, and it begins anew. Where another
            // instance may be building it, only if what is there is of no use here.
            Some(_) => {
                let is_of_no_use = self.is_alone() || self.row.shape != self.spec.shape;
                self.wanted = is_of_no_use.then_some(Wanted::Shape);
            }
            None => {}
        }
        Ok(())
    }

    /// The old version can go on only if its shape is the one that the handlers know; else it stands still and serves.
    fn start_old(&self, inputs: &[Input]) -> Option<Running> {
        let (number, shape) = self.reads;
        if shape != self.spec.shape {
            return None;
        }
        let how = (self.share(number), ConsumerOptions::default());
        Some(Running::start(&self.spec, (&self.versions, number), self.model.store(), inputs, how))
    }

    /// Instances that keep the same version up to date share its lanes. The leases are in the service's own store: its session shows
    /// who is there, and a version needs none.
    fn share(&self, version: u32) -> Option<Arc<dyn Share>> {
        let owner = self.control.backend().lease_owner()?;
        Some(Arc::new(LeasedLanes::new(self.control.clone(), owner).version(version)))
    }

    async fn close(self) {
        self.model.store().close().await;
        for (_, store) in self.building.into_iter().chain(self.previous) {
            store.close().await;
        }
    }

    /// Ready when the new version is as far as the old one in every lane, in the same epochs, and holds back nothing that took effect in the
    /// old one. `lacks` says what it waits for. The old version stands still meanwhile.
    async fn reaches(
        &self,
        (store, is_taken): (&Store, bool),
        inputs: &[Input],
        lacks: &mut Option<String>,
    ) -> Result<(), StoreError> {
        let model = self.model.store();
        let mut old = match self.standing(&model, inputs).await {
            Ok(old) => old,
            // Others have taken the new one and removed this one, of which nothing can be read any more.
            Err(error) if is_taken && self.is_left() && !error.is_transient() => {
                warn!(projection.name = self.spec.name, error = %error, "version {} cannot be read any more", self.reads.0);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        loop {
            *lacks = self.lacks((store, is_taken), (&model, &mut old), inputs).await?;
            if lacks.is_none() {
                return Ok(());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Whether the version that is read here is not kept for the way back any more.
    fn is_left(&self) -> bool {
        self.row.previous.is_none_or(|(version, _)| version != self.reads.0)
    }
}

/// Ready when the consumer, if there is one, has stopped by itself.
async fn ended(running: &mut Option<Running>) {
    match running {
        Some(running) => running.ended().await,
        None => std::future::pending().await,
    }
}

/// Lets the consumer, if there is one, end what it is at.
pub(super) async fn stop_running(running: &mut Option<Running>) {
    if let Some(running) = running.take() {
        running.stop().await;
    }
}

fn history_options() -> ConsumerOptions {
    ConsumerOptions { batch_events_max: HISTORY_BATCH_EVENTS, ..ConsumerOptions::default() }
}
