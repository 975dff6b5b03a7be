//! The way from a case to QEMU: what a hand does on a real machine, such as pulling a card.
//!
//! A case sends a frame `monitor` with a command line of QEMU's human monitor, and waits for one line of answer. One
//! command is none of QEMU's: `crash` has it die as it does by itself now and then.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ChildStdin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

/// How long a processor idles that an interrupt will not wake; a clock rings many times meanwhile.
const LOST_FOR: Duration = Duration::from_secs(3);

/// QEMU answers at once, or not at all.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who stands beside the machine.
pub struct Hand {
    socket: PathBuf,
    guest: ChildStdin,
    pid: u32,
}

impl Hand {
    /// For a guest whose QEMU is this process and listens on that socket.
    pub fn new(socket: &Path, guest: ChildStdin, pid: u32) -> Self {
        Self { socket: socket.to_path_buf(), guest, pid }
    }

    /// Does what a case asks for and tells it what came of it.
    pub fn act(&mut self, command: &str) -> Result<String> {
        let answer = self.ask(command).unwrap_or_else(|error| format!("Error: {error:#}"));
        let line = answer.split_whitespace().collect::<Vec<_>>().join(" ");
        writeln!(self.guest, "{line}").and_then(|()| self.guest.flush()).context("the guest does not listen")?;
        Ok(line)
    }

    /// Whether the emulator has lost an interrupt: a processor would take the next one while one is in service, or idles
    /// while its clock has run down without anybody hearing of it. It gets no tick any more, and sooner or later everything
    /// waits for it. Seen with QEMU 10.0.2 while devices come and go; one that did not idle stood at one instruction for
    /// minutes.
    pub fn finds_interrupt_lost(&self) -> bool {
        // One that has just come is not lost.
        let first = self.deaf();
        !first.is_empty() && {
            std::thread::sleep(LOST_FOR);
            self.deaf().iter().any(|again| first.contains(again))
        }
    }

    /// Processors that nothing may interrupt any more, each with its local APIC.
    fn deaf(&self) -> Vec<(String, String)> {
        // Registers and APIC are to be those of one moment.
        let _ = self.ask("stop");
        let registers = self.ask("info registers -a").unwrap_or_default();
        let mut found = Vec::new();
        for processor in registers.split("CPU#").skip(1).filter(|processor| takes_interrupts(processor)) {
            let Some(index) = processor.split_whitespace().next() else { continue };
            let apic = self.ask(&format!("info lapic {index}")).unwrap_or_default();
            if is_in_interrupt(&apic) || idles(processor) && has_run_down(&apic) {
                found.push((index.to_owned(), apic));
            }
        }
        let _ = self.ask("cont");
        found
    }

    fn ask(&self, command: &str) -> Result<String> {
        if command == "crash" {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.pid.try_into()?), nix::sys::signal::SIGSEGV)?;
            return Ok(String::new());
        }
        let stream = UnixStream::connect(&self.socket).context("cannot reach QEMU")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        exchange(&stream, &mut reader, &json!({"execute": "qmp_capabilities"}))?;
        let arguments = json!({"command-line": command});
        let answer =
            exchange(&stream, &mut reader, &json!({"execute": "human-monitor-command", "arguments": arguments}))?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }
}

/// Whether an interrupt is in service; Linux handles one with all others held back (arch/x86/entry/entry_64.S).
fn is_in_interrupt(apic: &str) -> bool {
    apic.lines().any(|line| line.starts_with("ISR") && !line.contains("(none)"))
}

/// Whether its clock was set to ring once, and has, be it that it is still waited for (IRR); a kernel that needs no clock masks it (lapic_timer_shutdown in
/// arch/x86/kernel/apic/apic.c).
fn has_run_down(apic: &str) -> bool {
    let line = |name: &str| apic.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    let rings_once = line("LVTT\t").contains("one-shot") && !line("LVTT\t").contains("masked");
    let was_set = !line("Timer").contains("initial_count = 0 ") && line("Timer").contains("initial_count = ");
    rings_once && was_set && line("Timer").trim_end().ends_with("current_count = 0")
}

/// Whether a processor with these registers would take an interrupt.
fn takes_interrupts(registers: &str) -> bool {
    let flags =
        registers.split_once("RFL=").and_then(|(_, rest)| u64::from_str_radix(rest.split(' ').next()?, 16).ok());
    flags.is_some_and(|flags| flags & 0x200 != 0)
}

/// Whether it waits for one.
fn idles(registers: &str) -> bool {
    registers.contains("HLT=1")
}

/// Sends a command and skips the greeting and events up to its answer.
fn exchange(mut stream: &UnixStream, reader: &mut impl BufRead, command: &Value) -> Result<Value> {
    writeln!(stream, "{command}")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            bail!("QEMU hung up");
        }
        let message: Value = serde_json::from_str(&line)?;
        if let Some(answer) = message.get("return") {
            return Ok(answer.clone());
        }
        if let Some(error) = message.get("error") {
            bail!("QEMU refused: {error}");
        }
    }
}
