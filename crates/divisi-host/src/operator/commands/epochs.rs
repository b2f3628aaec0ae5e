//! `epochs`: the lives of a service's database.

use serde_json::json;

use super::{At, BoxError};
use crate::operator::answers::EpochOf;
use crate::operator::names;
use crate::operator::office::Office;
use crate::operator::protocol::Question;
use crate::operator::table::{Table, time};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The service whose database it is
    service: String,
    #[command(flatten)]
    pub(super) at: At,
}

pub(super) async fn run(args: Args, office: &mut Office<'_>) -> Result<(), BoxError> {
    let service = names::service(office.graph, &args.service)?;
    let epochs: Vec<EpochOf> = office.ask(service, Question::Epochs).await?;
    let mut table = Table::new(["EPOCH", "BEGAN", "INHERITED"]);
    for EpochOf { epoch, began_at, forks } in &epochs {
        let inherited: Vec<String> = forks.iter().map(|(topic, n)| format!("{topic}: {n} events")).collect();
        let inherited = if inherited.is_empty() { "-".to_owned() } else { inherited.join(", ") };
        table.row([epoch.to_string(), time(*began_at), inherited]);
    }
    args.at.say(&json!({ "epochs": epochs }), &table)
}
