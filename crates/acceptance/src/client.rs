//! A foreign program that is run as a client: what it says is heard line by line, and its silence is bounded.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A client that neither says anything nor ends for so long hangs.
pub const SILENCE_MAX: Duration = Duration::from_secs(100);
/// How long a program that was told to end may take.
const END_MAX: Duration = Duration::from_secs(30);
/// How long Python may take to say where it was.
const LAST_WORDS_MAX: Duration = Duration::from_secs(5);

/// A running client. It is killed when dropped.
pub struct Client {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    heard: Receiver<Heard>,
    said: String,
    complaints: String,
}

enum Heard {
    Said(String),
    Complained(String),
}

impl Client {
    /// Starts it with pipes for all that it reads and writes.
    pub fn start(command: &mut Command) -> Self {
        let name = format!("{command:?}");
        // Python says where each of its threads is when it is told to abort.
        command.env("PYTHONFAULTHANDLER", "1");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (tell, heard) = channel();
        listen(child.stdout.take().expect("its output is piped"), tell.clone(), Heard::Said);
        listen(child.stderr.take().expect("its complaints are piped"), tell, Heard::Complained);
        let input = child.stdin.take();
        Self { name, child, input, heard, said: String::new(), complaints: String::new() }
    }

    /// Writes to its standard input. One that has ended reads no more: that is seen at its end.
    pub fn tell(&mut self, text: &str) {
        if let Some(input) = &mut self.input {
            let _ = input.write_all(text.as_bytes());
        }
    }

    /// Its next line without the line's end; `None` once it says no more.
    pub fn line(&mut self) -> Option<String> {
        self.line_within(SILENCE_MAX)
    }

    fn line_within(&mut self, patience: Duration) -> Option<String> {
        loop {
            match self.heard.recv_timeout(patience) {
                Ok(Heard::Said(line)) => {
                    self.said += &line;
                    return Some(line.trim_end_matches('\n').to_owned());
                }
                Ok(Heard::Complained(line)) => self.complaints += &line,
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.hangs(patience),
            }
        }
    }

    /// Has it tell where it is, as far as it can, and fails.
    fn hangs(&mut self, patience: Duration) -> ! {
        let _ = kill_process(Pid::from_child(&self.child), Signal::ABORT);
        let begun = Instant::now();
        while let Ok(heard) = self.heard.recv_timeout(LAST_WORDS_MAX.saturating_sub(begun.elapsed())) {
            match heard {
                Heard::Said(line) => self.said += &line,
                Heard::Complained(line) => self.complaints += &line,
            }
        }
        panic!("{} hangs: nothing for {patience:?} after\n{}\n{}", self.name, self.said, self.complaints);
    }

    /// Closes its input and waits for its end.
    pub fn end(mut self) -> Said {
        drop(self.input.take());
        while self.line().is_some() {}
        let status = await_end(&mut self.child, &self.name, SILENCE_MAX);
        Said {
            status,
            said: std::mem::take(&mut self.said),
            complaints: std::mem::take(&mut self.complaints),
        }
    }

    /// Ends it with SIGKILL.
    pub fn kill(mut self) {
        kill(&mut self.child, &self.name);
    }

    /// Asks it to end in good order, with SIGTERM.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).expect("it can be signalled");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        kill(&mut self.child, &self.name);
    }
}

/// What a client said, and how it ended.
pub struct Said {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub said: String,
    /// Its standard error.
    pub complaints: String,
}

impl Said {
    /// Both of its outputs.
    pub fn all(&self) -> String {
        format!("{}{}", self.said, self.complaints)
    }
}

fn listen(from: impl Read + Send + 'static, tell: Sender<Heard>, kind: fn(String) -> Heard) {
    thread::spawn(move || {
        let (mut from, mut line) = (BufReader::new(from), Vec::new());
        while from.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            if tell.send(kind(String::from_utf8_lossy(&line).into_owned())).is_err() {
                break;
            }
            line.clear();
        }
    });
}

/// Waits until a child has ended of itself; one that does not is killed, and that is a failure.
pub fn await_end(child: &mut Child, name: &str, patience: Duration) -> ExitStatus {
    ended_within(child, patience).unwrap_or_else(|| {
        let _ = child.kill();
        panic!("{name} does not end within {patience:?}")
    })
}

/// Ends a child with SIGKILL and waits until it is gone.
pub fn kill(child: &mut Child, name: &str) {
    // It may have ended before.
    let _ = child.kill();
    let ended = ended_within(child, END_MAX);
    // While a test fails already, another panic would hide why.
    assert!(ended.is_some() || thread::panicking(), "{name} does not end though it was killed");
}

fn ended_within(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let begun = Instant::now();
    loop {
        let status = child.try_wait().expect("it is our child");
        if status.is_some() || begun.elapsed() > patience {
            return status;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Client {
        Client::start(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn what_a_client_says_is_heard_and_what_it_is_told_it_reads() {
        let mut client = shell("read word; echo \"got $word\"; echo oh >&2; cat; exit 3");
        client.tell("this\nand that");
        assert_eq!(client.line().as_deref(), Some("got this"));
        let end = client.end();
        assert_eq!((end.status.code(), end.said.as_str()), (Some(3), "got this\nand that"));
        assert_eq!(end.complaints, "oh\n");
    }

    #[test]
    #[should_panic(expected = "nothing for 50ms after\nthe last step")]
    fn a_client_that_hangs_fails_with_what_it_said_last() {
        let mut client = shell("echo the last step; exec sleep 60");
        while client.line_within(Duration::from_millis(50)).is_some() {}
    }

    #[test]
    #[should_panic(expected = "sleep does not end within 10ms")]
    fn a_child_that_does_not_end_fails() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        await_end(&mut child, "sleep", Duration::from_millis(10));
    }
}
