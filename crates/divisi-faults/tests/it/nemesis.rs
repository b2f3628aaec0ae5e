//! One fault after the other, drawn at random: what no single test thinks of.

use std::thread::sleep;
use std::time::{Duration, Instant};

use divisi_testkit::process::send;
use fastrand::Rng;
use rustix::process::Signal;

use crate::bank::{ALL, Bank, KAFKA, NATS, On};
use crate::figures::{Told, end, form_of, seed};
use crate::load::{Load, Pace};
use crate::servers::{crash, wait};

/// The longest that one fault lasts.
const LASTS: Duration = Duration::from_millis(2_500);
/// The longest that nothing happens.
const CALM: Duration = Duration::from_millis(1_200);

#[test]
fn faults_at_random_lose_and_double_nothing() {
    let (lasts, engines): (u64, &[On]) = form_of((5, &[NATS]), (60, &[NATS, KAFKA]));
    for on in engines {
        let mut bank = Bank::start(*on);
        let seed = seed();
        let load = Load::start(bank.address(), seed, 6, Pace::Free);
        let mut random = Rng::with_seed(seed);
        let began = Instant::now();
        let mut n_faults = 0;
        while began.elapsed() < Duration::from_secs(lasts) {
            sleep(CALM.mul_f64(random.f64()));
            let fault = fault(&mut bank, &mut random);
            println!("{:>6} ms {fault}", began.elapsed().as_millis());
            n_faults += 1;
        }
        load.goes_on(40);
        let done = format!(
            "{n_faults} faults at random in {lasts} s: processes, broker and database killed and stopped"
        );
        end(&mut bank, load).holds(&["nemesis"], &done, &Told::default());
    }
}

/// Causes one and heals it; what it was.
fn fault(bank: &mut Bank, random: &mut Rng) -> String {
    let time = LASTS.mul_f64(random.f64());
    let service = ALL[random.usize(..ALL.len())];
    match random.u32(0..6) {
        0 => {
            bank.kill(service);
            sleep(time);
            bank.start_one(service);
            format!("{service} killed, back after {time:.0?}")
        }
        1 => {
            bank.kill(service);
            bank.start_one(service);
            format!("{service} killed")
        }
        2 => {
            // What it holds when it wakes up may be long done with by others.
            send(bank.pid(service), Signal::STOP);
            sleep(time);
            send(bank.pid(service), Signal::CONT);
            format!("{service} stood still for {time:.0?}")
        }
        3 => {
            bank.broker().kill();
            sleep(time);
            bank.broker().start();
            format!("the broker killed, back after {time:.0?}")
        }
        4 => {
            bank.broker().freeze();
            sleep(time);
            bank.broker().thaw();
            format!("the broker frozen for {time:.0?}")
        }
        _ => {
            let server = bank.postgres().expect("a server").clone();
            if random.bool() {
                crash(&server);
                return "the database server stopped at once".to_owned();
            }
            wait(server.freeze());
            sleep(time);
            wait(server.thaw());
            format!("the database server frozen for {time:.0?}")
        }
    }
}
