//! Processes under a supervisor, through the example `supervised`.

mod program;

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use divisi_host::shutdown::EXIT_INTERRUPTED;
use divisi_host::supervisor::SUPERVISED_BY;
use divisi_host::supervisor::supervised::EXIT_ORPHANED;
use rustix::process::Signal;

use program::{Program, executable, signal};

/// The next process that is ready: its pid and its address.
fn ready(program: &mut Program) -> (i32, SocketAddr) {
    let line = program.line(" (pid ", ") is ready at ");
    let rest = line.split_once("(pid ").unwrap().1;
    let (pid, rest) = rest.split_once(") is ready at ").unwrap();
    (pid.parse().unwrap(), rest.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn a_process_that_was_killed_is_started_again_at_the_same_address() {
    let mut program = Program::start(&["run", "a"]);
    let (pid, address) = ready(&mut program);
    signal(pid, Signal::KILL);
    let line = program.line(&format!("a (pid {pid}) was killed by SIGKILL; started again as pid "), "");
    let again = ready(&mut program);
    assert!(line.contains(&format!("started again as pid {}", again.0)), "{line}");
    assert_ne!(again.0, pid);
    assert_eq!(again.1, address);
    TcpStream::connect(address).expect("it listens again");
}

#[test]
fn processes_end_with_a_supervisor_that_was_killed() {
    let mut program = Program::start(&["run", "a", "b:stubborn"]);
    let pids = [ready(&mut program).0, ready(&mut program).0];
    let since = Instant::now();
    signal(program.pid(), Signal::KILL);
    program::eventually("both are gone", || pids.map(program::is_alive), |alive| *alive == [false, false]);
    assert!(since.elapsed() < Duration::from_secs(2), "it took {:?}", since.elapsed());
}

#[test]
fn processes_stop_in_the_reverse_of_their_order() {
    let mut program = Program::start(&["run", "a", "b", "c"]);
    program.line("all are ready", "");
    signal(program.pid(), Signal::TERM);
    for (name, word) in [("c", "stops"), ("c", "ended"), ("b", "stops"), ("b", "ended"), ("a", "stops")] {
        let line = program.line_where(|line| line.contains("stops:") || line.ends_with(&ended(line)));
        assert!(line.contains(word) && line.contains(name), "{name} {word} was next, not: {line}");
    }
    program.line("killed: []", "");
    assert!(program.wait().success());
}

/// `… ended service.name=x` of the line's own service, so that only endings match.
fn ended(line: &str) -> String {
    let name = line.rsplit('=').next().unwrap_or_default();
    format!(") ended service.name={name}")
}

#[test]
fn a_process_that_does_not_stop_is_killed_and_the_others_are_asked_all_the_same() {
    let mut program = Program::start(&["run", "a", "b:stubborn"]);
    program.line("all are ready", "");
    signal(program.pid(), Signal::INT);
    program.line("b | ", "stops: received SIGTERM");
    program.line("a | ", "stops: received SIGTERM");
    program.line("b did not end in time and was killed", "");
    program.line("killed: [\"b\"]", "");
    let health = program.line("health: ", "");
    assert!(health.contains(r#""ready":false"#) && health.contains(r#""reason":"stopped""#), "{health}");
}

#[test]
fn a_second_ctrl_c_ends_everything_at_once() {
    let mut program = Program::start(&["run", "a:stubborn"]);
    let (pid, _) = ready(&mut program);
    signal(program.pid(), Signal::INT);
    program.line("a | stops: received SIGTERM", "");
    signal(program.pid(), Signal::INT);
    assert_eq!(program.wait().code(), Some(EXIT_INTERRUPTED));
    program::eventually("its process is gone", || program::is_alive(pid), |alive| !alive);
}

#[test]
fn a_process_that_cannot_start_is_tried_again_later_and_later_and_says_why() {
    let mut program = Program::start(&["run", "a", "b:fails"]);
    program.line("b | error: the disk is full", "");
    program.line("could not start and exited with code 1: the disk is full; started again as pid", "");
    for delay in ["200ms", "400ms", "800ms"] {
        let line = program.line("could not start and exited with code 1: the disk is full", "");
        assert!(line.contains(&format!("starting it again in {delay}")), "{delay} was next, not: {line}");
    }
    signal(program.pid(), Signal::TERM);
    program.line("health: ", "");
}

#[test]
fn health_shows_what_is_down_and_why() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let health = divisi_host::health::Health::new();
        let process = divisi_host::supervisor::Process {
            name: "b".into(),
            program: executable(),
            arguments: vec!["child".into(), "fails".into()],
            variables: Vec::new(),
        };
        let settings = divisi_host::supervisor::Settings::default();
        let supervisor =
            divisi_host::supervisor::Supervisor::start(vec![process], &settings, &health).unwrap();
        let report = health
            .until(|report| {
                serde_json::to_string(report).unwrap().contains("the disk is full; starting it again in")
            })
            .await;
        assert!(!report.ready && report.live, "{report:?}");
        let why = supervisor.not_started().await.to_string();
        assert!(why.starts_with("b (pid ") && why.ends_with("exited with code 1: the disk is full"), "{why}");
        assert!(supervisor.stop(Duration::from_secs(2)).await.is_empty());
    });
}

/// A child of this test, as the supervisor would start it.
fn child_of(supervisor: u32) -> (std::process::Child, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = Command::new(executable())
        .args(["child", "works"])
        .env(SUPERVISED_BY, supervisor.to_string())
        .env("DIVISI_LISTEN", "127.0.0.1:0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    (child, ours)
}

#[test]
fn a_process_ends_when_its_line_to_the_supervisor_closes() {
    let (mut child, line) = child_of(std::process::id());
    let mut said = String::new();
    BufReader::new(&line).read_line(&mut said).unwrap();
    assert!(said.starts_with("ready 127.0.0.1:"), "{said}");
    assert!(child.try_wait().unwrap().is_none(), "it runs while the line is open");
    drop(line);
    let status = program::eventually("it ends", || child.try_wait().unwrap(), Option::is_some);
    assert_eq!(status.unwrap().code(), Some(EXIT_ORPHANED));
}

/// A shell stands in for the supervisor, so that the line stays open when it dies: what remains is the kernel.
#[test]
fn the_kernel_ends_a_process_whose_supervisor_was_killed() {
    let (line, theirs) = UnixStream::pair().unwrap();
    let script = format!("exec 3<&0; {SUPERVISED_BY}=$$ \"$0\" child works <&3 & echo $!; wait");
    let mut shell = Command::new("sh")
        .args(["-c", &script])
        .arg(executable())
        .env("DIVISI_LISTEN", "127.0.0.1:0")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let first_line = |stream: &mut dyn std::io::Read| {
        let mut said = String::new();
        BufReader::new(stream).read_line(&mut said).unwrap();
        said
    };
    let pid: i32 = first_line(shell.stdout.as_mut().unwrap()).trim().parse().unwrap();
    assert!(first_line(&mut &line).starts_with("ready "), "it runs");
    shell.kill().unwrap();
    shell.wait().unwrap();
    program::eventually("it is gone", || program::is_alive(pid), |alive| !alive);
}

#[test]
fn a_process_whose_supervisor_is_gone_already_does_not_start() {
    let (mut child, _line) = child_of(1);
    program::eventually("it ends", || child.try_wait().unwrap(), Option::is_some);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "error: the supervisor, process 1, is gone\n");
}
