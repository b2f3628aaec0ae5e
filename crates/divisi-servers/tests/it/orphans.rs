//! Servers end with whoever started them, even when it had no time to end them.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Servers that cannot even hear that they should end: the one with the most processes.
const FROZEN: [&str; 1] = ["postgres"];

macro_rules! a_server_is_gone_soon_after_the_process_that_started_it_was_killed {
    ($($server:ident),*) => {$(
        mod $server {
            /// Started by the test below, in a process of its own, which is killed.
            #[tokio::test]
            #[ignore = "it is the process that another test starts and kills"]
            async fn a_process_with_a_server() {
                let server = divisi_servers::$server::Settings::new().start().await.unwrap();
                if super::FROZEN.contains(&stringify!($server)) {
                    server.freeze().await.unwrap();
                }
                super::tell(server.address(), server.directory());
                std::future::pending::<()>().await;
            }

            #[test]
            fn is_gone_soon_after_the_process_that_started_it_was_killed() {
                super::the_server_of(&format!("orphans::{}::a_process_with_a_server", stringify!($server)));
            }
        }
    )*};
}

a_server_is_gone_soon_after_the_process_that_started_it_was_killed!(postgres, nats, kafka);

fn tell(address: SocketAddr, directory: &Path) {
    println!("\nSERVER {address} {}", directory.display());
}

/// Runs a test of this file elsewhere, kills it when its server runs, and waits until that is gone.
fn the_server_of(test: &str) {
    let mut elsewhere = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--nocapture", "--exact", test])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(elsewhere.stdout.take().unwrap()).lines();
    let line = lines.map_while(Result::ok).find(|line| line.starts_with("SERVER ")).expect("it started");
    let mut words = line.split(' ').skip(1);
    let address: SocketAddr = words.next().unwrap().parse().unwrap();
    let directory = PathBuf::from(words.next().unwrap());
    assert!(TcpStream::connect(address).is_ok() && directory.join("data").is_dir());

    elsewhere.kill().unwrap();
    elsewhere.wait().unwrap();

    let killed = Instant::now();
    loop {
        let left = (TcpStream::connect(address).is_ok(), directory.exists());
        if left == (false, false) {
            break;
        }
        assert!(killed.elapsed() < Duration::from_secs(20), "left of it (server, directory): {left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
