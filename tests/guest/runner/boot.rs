//! One boot of a guest: hands it the cases, passes on what came of each, and never waits for it without end.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::case::{Boot, Case, Mark};
use crate::monitor::Hand;

/// How long a kernel may take to boot: 6 to 8 s were seen on an idle machine of two cores.
const BOOT_TIME: Duration = Duration::from_secs(240);
/// How long the guest may take around a case, beyond the case's own timeout, which the guest watches itself; less where that
/// is but a few seconds.
const GRACE: Duration = Duration::from_secs(60);
/// So many times its own timeout.
const GRACE_OF_SHORT: u32 = 15;
/// How long a guest may be silent before the emulator is looked at.
const SILENCE: Duration = Duration::from_secs(20);

/// Tells ../boot how the emulator runs the guest's processors.
const THREADS: &str = "PCICTL_GUEST_THREADS";

/// How many operations a storm has, unless PCICTL_GUEST_STORM says otherwise: 1,000 take ten minutes. Each run of the tests has
/// one on the oldest kernel and some on another; those of hundreds are for tests/soak/RESULTS.md.
const STORM: u32 = 60;

/// A piece of a guest's report.
struct Frame {
    case: String,
    key: String,
    text: String,
}

/// What came of one case.
#[derive(Debug, Default)]
pub struct Outcome {
    pub marks: Vec<Mark>,
    pub status: String,
    pub stdout: String,
    /// How many JSON documents pcictl printed, all of them in the published form.
    pub documents: usize,
    /// Everything else there is to show, with a title each.
    pub details: Vec<(&'static str, String)>,
    pub took: Duration,
}

/// What came of one boot.
pub struct Report {
    /// The boot itself, if it went wrong before the first case.
    pub boot: Option<Outcome>,
    /// How many cases ran, in the order of the plan; fewer than planned when one of them spoiled the machine.
    pub ran: usize,
    /// What there is to tell if QEMU itself failed under the next case.
    pub crash: Option<Outcome>,
}

/// Ends the guest when the runner stops caring, for whatever reason.
struct Guest(Child);

impl Guest {
    /// The signal that QEMU died of by its own fault, if it did.
    fn crash(&mut self) -> Option<Signal> {
        // One that is dead already keeps the signal that it died of.
        self.0.kill().ok()?;
        let signal = Signal::try_from(self.0.wait().ok()?.signal()?).ok()?;
        matches!(signal, Signal::SIGSEGV | Signal::SIGABRT | Signal::SIGBUS | Signal::SIGILL).then_some(signal)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Ours alone: `boot` became the QEMU process.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots a guest and runs the cases; `judge` hears what came of each as soon as it is over. The emulator runs its processors in
/// `threads` unless PCICTL_GUEST_THREADS says how.
pub fn run(
    guest_dir: &Path,
    boot: &Boot,
    programs: &[PathBuf],
    threads: Option<&str>,
    mut judge: impl FnMut(&Case, &Outcome),
) -> Result<Report> {
    let stage = tempfile::tempdir()?;
    let console = stage.path().join("console");
    let monitor = stage.path().join("monitor");
    fill(&stage.path().join("rig"), guest_dir, boot, programs)?;

    let mut guest = Guest(
        Command::new(guest_dir.join("boot"))
            .args(["--append", &boot.append, "--console"])
            .arg(&console)
            .arg("--monitor")
            .arg(&monitor)
            .args([&boot.topology, &boot.kernel])
            .arg(stage.path().join("rig"))
            .envs(threads.filter(|_| std::env::var_os(THREADS).is_none()).map(|threads| (THREADS, threads)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run tests/guest/boot")?,
    );
    let stdout = guest.0.stdout.take().context("no stdout")?;
    let mut hand = Hand::new(&monitor, guest.0.stdin.take().context("no stdin")?, guest.0.id());
    let (sender, frames) = mpsc::channel();
    thread::spawn(move || {
        let mut reader = BufReader::new(stdout);
        while let Ok(Some(frame)) = read_frame(&mut reader) {
            if sender.send(frame).is_err() {
                break;
            }
        }
    });

    let mut report = Report { boot: None, ran: 0, crash: None };
    let started = Instant::now();
    let outcome = follow("boot", &frames, BOOT_TIME, &console, &mut hand);
    if !outcome.marks.is_empty() {
        report.boot = Some(Outcome { took: started.elapsed(), ..outcome });
        return Ok(report);
    }
    for case in &boot.cases {
        let started = Instant::now();
        let mut outcome =
            follow(&case.name, &frames, case.timeout + GRACE.min(case.timeout * GRACE_OF_SHORT), &console, &mut hand);
        if let Some(signal) = outcome.marks.contains(&Mark::Lost).then(|| guest.crash()).flatten() {
            outcome.marks = vec![Mark::Emulator];
            outcome.details.insert(0, ("QEMU itself crashed", signal.to_string()));
        }
        if outcome.marks == [Mark::Emulator] && !case.is_as_expected(&outcome.marks) {
            report.crash = Some(Outcome { took: started.elapsed(), ..outcome });
            return Ok(report);
        }
        // The guest stops after a case that spoiled it.
        let spoiled = outcome.marks.iter().any(|mark| *mark != Mark::Failed);
        judge(case, &Outcome { took: started.elapsed(), ..outcome });
        report.ran += 1;
        if spoiled {
            break;
        }
    }
    Ok(report)
}

/// Lays out what becomes /rig in the guest.
fn fill(rig: &Path, guest_dir: &Path, boot: &Boot, programs: &[PathBuf]) -> Result<()> {
    fs::create_dir_all(rig.join("cases"))?;
    fs::copy(guest_dir.join("run-cases"), rig.join("main"))?;
    fs::copy(guest_dir.join("lib.sh"), rig.join("lib.sh"))?;
    for program in programs {
        fs::copy(program, rig.join(program.file_name().context("a program without a name")?))?;
    }
    let mut list = String::new();
    for Case { name, script, timeout, file, .. } in &boot.cases {
        if let Some(file) = file {
            let path = guest_dir.join("../..").join(file);
            let name = path.file_name().with_context(|| format!("{file} is not a file"))?;
            fs::copy(&path, rig.join(name)).with_context(|| path.display().to_string())?;
        }
        fs::write(rig.join("cases").join(format!("{name}.sh")), script)?;
        list.push_str(&format!("{name} {}\n", timeout.as_secs()));
    }
    fs::write(rig.join("list"), list)?;
    let storm = std::env::var("PCICTL_GUEST_STORM").unwrap_or_else(|_| STORM.to_string());
    fs::write(rig.join("storm"), storm)?;
    fs::write(rig.join("seed"), std::env::var("PCICTL_GUEST_SEED").unwrap_or_else(|_| "1".to_owned()))?;
    Ok(())
}

/// Collects the frames of one case up to its last one, or finds the guest lost.
fn follow(name: &str, frames: &Receiver<Frame>, limit: Duration, console: &Path, hand: &mut Hand) -> Outcome {
    let mut outcome = Outcome::default();
    let deadline = Instant::now() + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let lost = match frames.recv_timeout(left.min(SILENCE)) {
            Ok(frame) if frame.case == name => {
                if frame.key == "end" {
                    return outcome;
                }
                if frame.key == "monitor" {
                    let answer = hand.act(&frame.text).unwrap_or_else(|error| format!("{error:#}"));
                    let begin: String = answer.chars().take(200).collect();
                    outcome.details.push(("told QEMU", format!("{}: {begin}", frame.text)));
                    continue;
                }
                outcome.take(frame);
                continue;
            }
            Ok(frame) => format!("it reported {} of {} instead", frame.key, frame.case),
            Err(RecvTimeoutError::Timeout) if hand.finds_interrupt_lost() => {
                outcome.marks = vec![Mark::Emulator];
                outcome.details.insert(0, ("QEMU lost an interrupt", last_lines(&read(console), 60)));
                return outcome;
            }
            Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => continue,
            Err(RecvTimeoutError::Timeout) => {
                format!("it did not report within {} s", limit.as_secs())
            }
            Err(RecvTimeoutError::Disconnected) => "it ended or reset itself".to_owned(),
        };
        outcome.marks.push(Mark::Lost);
        outcome.details.push(("the guest was lost", lost));
        outcome.details.push(("its console", telling(&read(console), 60)));
        return outcome;
    }
}

impl Outcome {
    fn take(&mut self, mut frame: Frame) {
        let (mark, title) = match frame.key.as_str() {
            "stdout" => {
                self.stdout = frame.text;
                return;
            }
            "status" => {
                self.status = frame.text.trim().to_owned();
                if self.status != "0" && self.status != "137" {
                    self.marks.push(Mark::Failed);
                }
                return;
            }
            "documents" => match schema_check::check_all(frame.text.as_bytes()) {
                Ok(count) => {
                    self.documents = count;
                    return;
                }
                Err(error) => {
                    frame.text = error;
                    (Mark::Failed, "a JSON document of pcictl")
                }
            },
            "stderr" => return self.details.push(("stderr", frame.text)),
            "dmesg" => {
                return self.details.push(("kernel log", telling(&frame.text, 80)));
            }
            "timeout" => (Mark::Timeout, "tasks in D state at the timeout"),
            "stuck" => (Mark::Stuck, "stuck tasks"),
            "changed" => (Mark::Changed, "functions and drivers, before and after"),
            "complaint" => (Mark::Complaint, "complaints in the kernel log"),
            _ => return,
        };
        self.marks.push(mark);
        self.details.push((title, frame.text));
    }
}

/// Reads the next frame; none at the end of the stream. Lines between frames are noise and skipped.
fn read_frame(reader: &mut BufReader<ChildStdout>) -> Result<Option<Frame>> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&line);
        let mut words = text.split_whitespace();
        if words.next() != Some("@frame") {
            continue;
        }
        let (Some(case), Some(key), Some(length)) = (words.next(), words.next(), words.next()) else {
            bail!("torn frame");
        };
        let mut content = vec![0; length.parse()?];
        reader.read_exact(&mut content)?;
        return Ok(Some(Frame {
            case: case.to_owned(),
            key: key.to_owned(),
            text: String::from_utf8_lossy(&content).into_owned(),
        }));
    }
}

/// What of a kernel's talk is worth reading: from where it begins to complain, or else the last lines.
fn telling(said: &str, last: usize) -> String {
    const COMPLAINTS: [&str; 6] =
        ["INFO: task ", "BUG: ", "WARNING: ", "Oops", "general protection fault", "Kernel panic"];
    let first = said.lines().position(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)));
    match first {
        Some(first) => said.lines().skip(first).take(400).collect::<Vec<_>>().join("\n"),
        None => last_lines(said, last),
    }
}

/// A file, or why it cannot be read.
fn read(path: &Path) -> String {
    match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(no console: {error})"),
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
