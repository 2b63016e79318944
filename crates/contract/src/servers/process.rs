//! A process of a server, with all that it starts itself. It ends with its value, or with the test's process, however that
//! ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use std::os::unix::process::CommandExt;

use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};

/// The pause between two looks at something that will come.
const LOOK: Duration = Duration::from_millis(5);
/// How long a server may take to end in good order.
const STOP_MAX: Duration = Duration::from_secs(60);
/// Reads to the end of its input, which comes with the end of the test's process, kills the server's group and removes its
/// files.
const GUARD: &str = "cat >/dev/null; kill -9 -\"$1\"; sleep 1; rm -rf \"$2\"";

/// A server's process, while it runs.
pub(super) struct Process {
    name: &'static str,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    guard: Child,
}

impl Process {
    /// One that does not run yet. `name` is the program's and of the package that has it.
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, running: Mutex::new(None) }
    }

    /// Starts it.
    pub(super) fn launch(&self, command: &mut Command, folder: &Path) {
        let mut running = self.running.lock();
        assert!(running.is_none(), "{} runs", self.name);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.process_group(0).spawn().unwrap_or_else(|error| {
            panic!("{0} is needed for this test: apt-get install {0} ({error})", self.name)
        });
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard", &child.id().to_string()])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A signal to the test's own group, as that of a terminal, is not to reach it.
            .process_group(0)
            .spawn()
            .expect("a shell");
        *running = Some(Running { child, guard });
    }

    /// Waits until it answers. `false`: it has ended by itself.
    pub(super) fn answers_within(&self, most: Duration, mut answers: impl FnMut() -> bool) -> bool {
        let begun = Instant::now();
        loop {
            // Whoever answers after it has ended is somebody else, at the same port.
            let answered = answers();
            if self.forget_ended() {
                return false;
            }
            if answered {
                return true;
            }
            assert!(begun.elapsed() < most, "{} does not answer", self.name);
            thread::sleep(LOOK);
        }
    }

    fn forget_ended(&self) -> bool {
        let mut running = self.running.lock();
        let child = running.as_mut().map(|running| running.child.try_wait());
        let has_ended = child.is_none_or(|ended| ended.expect("it is our child").is_some());
        if has_ended {
            running.take().into_iter().for_each(Running::end);
        }
        has_ended
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.running.lock().as_ref().expect("it runs").child.id()
    }

    pub(super) fn runs(&self) -> bool {
        self.running.lock().is_some()
    }

    /// Ends it with SIGKILL, if it runs.
    pub(super) fn kill(&self) {
        self.running.lock().take().into_iter().for_each(Running::end);
    }

    /// Ends it in good order.
    pub(super) fn stop(&self) {
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while !self.forget_ended() {
            assert!(begun.elapsed() < STOP_MAX, "{} does not end", self.name);
            thread::sleep(LOOK);
        }
    }

    /// Lets it stand still: its connections stay open and nothing is answered. Returns when it does.
    pub(super) fn pause(&self) {
        self.signal(Signal::STOP);
        let pid = Pid::from_raw(self.id().cast_signed());
        let stopped = waitpid(pid, WaitOptions::UNTRACED).expect("it is our child");
        assert!(stopped.is_some_and(|(_, status)| status.stopped()), "{} has ended", self.name);
    }

    /// Lets it go on.
    pub(super) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.lock();
        let group = Pid::from_child(&running.as_ref().expect("it runs").child);
        kill_process_group(group, signal).expect("it is ours");
    }
}

impl Running {
    /// Kills whatever of the server still runs, and then the guard, before that could kill a group that is another's by now.
    fn end(mut self) {
        // What has ended before cannot be signalled.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
