//! Starting: what is printed, and what is said when it cannot.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use crate::process::{Daemon, forebay, printed, serve};

#[test]
fn the_bound_addresses_are_printed_and_then_ready_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("memcached.sock");
    let mut daemon = Daemon::run(serve(&folder.path().join("data")).arg("--memcached-unix").arg(&socket));
    let expected = [
        format!("memcached {}", daemon.memcached()),
        format!("memcached-unix {}", socket.display()),
        format!("amqp {}", daemon.amqp()),
        format!("http {}", daemon.http()),
    ];
    assert_eq!(daemon.lines, expected);
    assert_ne!(daemon.memcached().port(), 0);
    let mut tcp = TcpStream::connect(daemon.memcached()).unwrap();
    tcp.write_all(b"set k 0 0 1\r\nv\r\nquit\r\n").unwrap();
    let mut text = String::new();
    tcp.read_to_string(&mut text).unwrap();
    assert_eq!(text, "STORED\r\n");
    let mut unix = UnixStream::connect(&socket).unwrap();
    unix.write_all(b"get k\r\nquit\r\n").unwrap();
    text.clear();
    unix.read_to_string(&mut text).unwrap();
    assert_eq!(text, "VALUE k 0 1\r\nv\r\nEND\r\n");
    assert_eq!(daemon.ask("GET", "/v1/cache/k", ""), (200, "v".into()), "one cache behind all fronts");
    daemon.signal(rustix::process::Signal::TERM);
    let (status, rest) = daemon.end();
    assert_eq!((status.code(), rest.as_str()), (Some(0), ""));
}

#[test]
fn fronts_that_are_off_print_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut command = forebay();
    command.arg("serve").arg("--data").arg(data.path()).args(["--memcached", "off", "--http", "off"]);
    command.args(["--amqp", "off"]);
    let daemon = Daemon::run(&mut command);
    assert!(daemon.lines.is_empty(), "{:?}", daemon.lines);
    daemon.stop();
}

#[test]
fn the_data_directory_is_made_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("a/b");
    Daemon::start(&data).stop();
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o700);
}

/// Runs `serve` that must fail with exit code 1, and returns what it says.
fn fails(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap();
    let (stdout, stderr) = printed(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""), "{stderr}");
    stderr
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--http", "--memcached", "--amqp"] {
        let said = fails(serve(data.path()).args([flag, &address]));
        assert!(said.contains(&address) && said.contains("another program listens there"), "{said}");
    }
}

#[test]
fn a_directory_in_use_is_named_with_what_to_do() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    let said = fails(&mut serve(data.path()));
    assert!(said.contains(&*data.path().to_string_lossy()), "{said}");
    assert!(said.contains("another forebay uses this directory"), "{said}");
    daemon.stop();
    Daemon::start(data.path()).stop();
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let said = fails(&mut serve(&file.join("data")));
    assert!(said.contains("file/data"), "{said}");
}

#[test]
fn a_file_where_the_directory_should_be_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "precious").unwrap();
    let said = fails(&mut serve(&file));
    assert!(said.contains(&*file.to_string_lossy()) && said.contains("that is a file"), "{said}");
    assert!(!said.contains("another forebay"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_file_where_the_unix_socket_should_be_is_named_as_such_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "precious").unwrap();
    let said = fails(serve(&folder.path().join("data")).arg("--memcached-unix").arg(&file));
    assert!(said.contains(&*file.to_string_lossy()), "{said}");
    assert!(said.contains("a file that is not a socket") && !said.contains("another program"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
}

#[test]
fn a_front_that_cannot_be_bound_leaves_the_log_closed() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--http", "--memcached", "--amqp"] {
        Daemon::start(data.path()).stop();
        fails(serve(data.path()).args([flag, &address]));
        // The next start says what it found; it fails as well, so that what it says can be read to its end.
        let said = fails(serve(data.path()).args([flag, &address, "--log", "info"]));
        assert!(said.contains("clean: true"), "{said}");
    }
}

#[test]
fn a_damaged_log_is_refused_and_set_aside_only_when_told_so() {
    let data = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(data.path());
    daemon.does(&["queue", "create", "q"]);
    for number in 0..20 {
        daemon.does(&["queue", "publish", "q", &format!("message number {number}")]);
    }
    daemon.stop();
    let damaged = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().path()).find(|path| {
        let mut bytes = fs::read(path).unwrap();
        let needle = b"message number 7";
        let Some(at) = bytes.windows(needle.len()).position(|window| window == needle) else { return false };
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
        true
    });
    assert!(damaged.is_some(), "the message lies in one of the files");
    let said = fails(&mut serve(data.path()));
    assert!(said.contains("damaged") && said.contains("--damaged set-aside"), "{said}");
    let daemon = Daemon::run(serve(data.path()).args(["--damaged", "set-aside"]));
    assert!(daemon.does(&["queue", "list"]).contains("19"), "{}", daemon.does(&["queue", "list"]));
    daemon.stop();
    Daemon::start(data.path()).stop();
}
