//! Real processes for the bench of users: this program again, many times, each with descriptors and mappings, asleep.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};

/// What makes this program one of the crowd.
const MEMBER: &str = "--member-of-crowd";

/// What each of a crowd is to have.
#[derive(Clone, Copy)]
pub struct Member {
    pub descriptors: usize,
    pub mappings: usize,
    /// Mounts in a mount namespace of its own; none if it is to have no such.
    pub mounts: usize,
}

impl Member {
    /// What the arguments of this program say, if it is one of a crowd.
    pub fn from_arguments() -> Option<Self> {
        let arguments: Vec<String> = std::env::args().skip_while(|argument| argument != MEMBER).skip(1).collect();
        let mut numbers = arguments.iter().map(|argument| argument.parse().expect("a number"));
        Some(Self { descriptors: numbers.next()?, mappings: numbers.next()?, mounts: numbers.next()? })
    }

    /// Is one until its standard input ends.
    pub fn live(self) {
        if self.mounts > 0 {
            unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace: it needs root");
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("mounts of its own");
            for _ in 0..self.mounts {
                mount(Some("none"), "/mnt", Some("tmpfs"), MsFlags::empty(), none).expect("a mount");
            }
        }
        let program = std::env::current_exe().expect("a program");
        let open = || -> OwnedFd { std::fs::File::open(&program).expect("it opens").into() };
        let _descriptors: Vec<OwnedFd> = (0..self.descriptors).map(|_| open()).collect();
        let file = open();
        let page = std::num::NonZeroUsize::new(4096).expect("not zero");
        for _ in 0..self.mappings {
            use nix::sys::mman::{MapFlags, ProtFlags, mmap};
            // SAFETY: new pages, which nobody looks at.
            unsafe { mmap(None, page, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &file, 0) }.expect("a mapping");
        }
        println!("there");
        let _ = std::io::stdin().read(&mut [0]);
    }
}

/// So many such processes, until it is dropped.
pub struct Crowd(Vec<Child>);

impl Crowd {
    pub fn new(count: usize, member: Member) -> Self {
        // Each has a descriptor for its standard input.
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("a higher limit");
        let Member { descriptors, mappings, mounts } = member;
        let mut crowd = Self(Vec::new());
        for _ in 0..count {
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            command.arg(MEMBER).args([descriptors, mappings, mounts].map(|number| number.to_string()));
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
            let mut said = [0; 6];
            child.stdout.take().expect("its output").read_exact(&mut said).expect("it is there");
            crowd.0.push(child);
        }
        // Until the last one sleeps.
        std::thread::sleep(Duration::from_millis(200));
        crowd
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.drain(..).for_each(end);
    }
}

fn end(mut child: Child) {
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(b"x");
    }
    let _ = child.wait();
}

/// The processor time of this process and of the children that have ended.
pub fn processor_time() -> Duration {
    let of = |who| {
        let usage = getrusage(who).expect("usage");
        [usage.user_time(), usage.system_time()].map(|time| {
            Duration::from_secs(time.tv_sec().unsigned_abs()) + Duration::from_micros(time.tv_usec().unsigned_abs())
        })
    };
    [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].into_iter().flat_map(of).sum()
}
