//! What the bank's services promise each other.

use divisi::{Answer, Context};

/// A part of a transfer: what one account gets, or gives when it is below zero.
#[divisi::data]
pub(crate) struct Leg {
    /// Which account.
    pub(crate) account: u32,
    /// How much.
    pub(crate) amount: i64,
}

/// Money that moves between accounts, all of it or none.
#[divisi::data]
pub(crate) struct Transfer {
    /// Which one: in every event that comes of it.
    pub(crate) id: String,
    /// Who gives and who gets.
    pub(crate) legs: Vec<Leg>,
    /// To be refused when all of it has been done, as by a rule that is looked at last.
    #[serde(default)]
    pub(crate) called_off: bool,
}

/// Accounts to be opened, numbered from 0.
#[divisi::data]
pub(crate) struct Opening {
    /// How many.
    pub(crate) accounts: u32,
    /// What each has at first.
    pub(crate) balance: i64,
}

/// An account as it stands after a change.
#[divisi::data]
pub(crate) struct Entry {
    /// Which account.
    pub(crate) account: u32,
    /// How often it has changed.
    pub(crate) version: i64,
    /// What is in it.
    pub(crate) balance: i64,
}

/// Why no money was moved.
#[divisi::refusal]
pub(crate) enum TransferRefused {
    /// It was to be refused.
    #[refuse(409, "the transfer was called off")]
    CalledOff,
    /// An account would be below zero.
    #[refuse(409, "account {account} would be overdrawn")]
    Overdrawn {
        /// Which.
        account: u32,
    },
    /// There is no such account.
    #[refuse(404, "there is no account {account}")]
    NoSuchAccount {
        /// Which.
        account: u32,
    },
}

/// Who moves money.
#[divisi::contract]
pub(crate) trait Accounts {
    /// Opens accounts, all in one transaction.
    #[post("/accounts", status = 201, keyed)]
    async fn open(&self, cx: &Context, opening: Opening) -> Answer<Vec<Entry>>;

    /// Moves money between accounts; how each stands then.
    #[post("/transfers", status = 201, keyed)]
    async fn transfer(&self, cx: &Context, transfer: Transfer) -> Answer<Vec<Entry>, TransferRefused>;
}

/// Who reads balances.
#[divisi::contract]
pub(crate) trait Balances {
    /// Every account, as of one instant of the read model.
    #[get("/balances")]
    async fn balances(&self, cx: &Context) -> Answer<Vec<Entry>>;
}

/// An account has changed.
#[divisi::event(topic = "accounts", key = "account")]
pub(crate) struct BalanceChanged {
    /// Which account.
    pub(crate) account: u32,
    /// How often it has changed, this change included.
    pub(crate) version: i64,
    /// What changed it.
    pub(crate) transfer: String,
    /// By how much.
    pub(crate) amount: i64,
    /// What is in it now.
    pub(crate) balance: i64,
}

/// The ledger has booked a change.
#[divisi::event(topic = "bookings", key = "account")]
pub(crate) struct Booked {
    /// Of which account.
    pub(crate) account: u32,
    /// Which of its changes.
    pub(crate) version: i64,
    /// What changed it.
    pub(crate) transfer: String,
}
