//! The bank of the fault catalogue: accounts that move money, a ledger that books it, an audit that counts both.
//!
//! Nobody would run it. It does what breaks first when events are lost, doubled or out of order, and `tests/it` does to it
//! everything that the catalogue names.

mod accounts;
mod audit;
mod ledger;
mod promises;

use divisi::{Exit, WithGateway};

fn main() -> Exit {
    divisi::app("bank")
        .service(accounts::service())
        .service(ledger::service())
        .service(audit::service())
        .gateway()
        .main()
}
