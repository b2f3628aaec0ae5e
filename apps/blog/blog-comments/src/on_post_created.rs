//! A post exists: it may be commented.

use blog_contracts::PostCreated;
use divisi::{Failure, Tx};

use crate::posts_table;

pub(crate) async fn on_post_created(tx: &mut Tx, event: &PostCreated) -> Result<(), Failure> {
    Ok(posts_table::insert(tx, &event.id).await?)
}
