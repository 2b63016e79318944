//! What every `Files` must keep without sabotage: `forebay_contract::files!(make)` writes the tests, `make` being a
//! function that returns an empty directory.

#![expect(missing_docs, reason = "the names are the promises")]
#![expect(clippy::expect_used, reason = "a suite fails by panicking")]

use forebay_core::error::Kind;
use forebay_core::ports::files::{File, Files};

/// One test for each promise of the port.
#[macro_export]
macro_rules! files {
    ($make:path) => {
        $crate::files!(@ $make,
            a_new_file_is_zeros,
            what_is_written_is_read_back,
            reading_past_the_end_is_refused,
            a_second_file_of_one_name_is_refused,
            an_absent_file_is_not_found,
            a_renamed_file_keeps_its_bytes_and_its_handles,
            renaming_replaces_whatever_has_the_name,
            a_removed_file_is_gone,
            names_are_listed_in_order,
            handles_of_one_file_see_each_others_writes,
        );
    };
    (@ $make:path, $($promise:ident,)+) => {
        $(#[test] fn $promise() { $crate::files_suite::$promise(&$make()); })+
    };
}

fn read(file: &dyn File, offset: u64, count: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; count];
    file.read_at(&mut bytes, offset).expect("read");
    bytes
}

pub fn a_new_file_is_zeros(files: &impl Files) {
    let file = files.create("a", 10_000).expect("create");
    assert_eq!(file.len().expect("length"), 10_000);
    assert!(!file.is_empty().expect("length"));
    assert!(read(&*file, 0, 10_000).iter().all(|byte| *byte == 0));
}

pub fn what_is_written_is_read_back(files: &impl Files) {
    let file = files.create("a", 100).expect("create");
    file.write_at(b"one", 0).expect("write");
    file.write_at(b"two", 97).expect("write");
    file.write_at(b"", 50).expect("write");
    file.sync().expect("sync");
    files.sync_names().expect("sync names");
    assert_eq!(read(&*file, 0, 4), b"one\0");
    assert_eq!(read(&*files.open("a").expect("open"), 97, 3), b"two");
    assert_eq!(file.len().expect("length"), 100);
}

pub fn reading_past_the_end_is_refused(files: &impl Files) {
    let file = files.create("a", 10).expect("create");
    let mut bytes = [0; 4];
    assert!(file.read_at(&mut bytes, 6).is_ok());
    assert_eq!(file.read_at(&mut bytes, 7).expect_err("past the end").kind(), Kind::Io);
    assert_eq!(file.read_at(&mut bytes, 1 << 40).expect_err("past the end").kind(), Kind::Io);
}

pub fn a_second_file_of_one_name_is_refused(files: &impl Files) {
    files.create("a", 10).expect("create").write_at(b"kept", 0).expect("write");
    assert_eq!(files.create("a", 10).err().map(|error| error.kind()), Some(Kind::Conflict));
    assert_eq!(read(&*files.open("a").expect("open"), 0, 4), b"kept");
}

pub fn an_absent_file_is_not_found(files: &impl Files) {
    assert_eq!(files.open("a").err().map(|error| error.kind()), Some(Kind::NotFound));
    assert_eq!(files.remove("a").err().map(|error| error.kind()), Some(Kind::NotFound));
    assert_eq!(files.rename("a", "b").err().map(|error| error.kind()), Some(Kind::NotFound));
}

pub fn a_renamed_file_keeps_its_bytes_and_its_handles(files: &impl Files) {
    let file = files.create("a", 10).expect("create");
    file.write_at(b"x", 0).expect("write");
    files.rename("a", "b").expect("rename");
    file.write_at(b"y", 1).expect("write");
    assert_eq!(read(&*files.open("b").expect("open"), 0, 2), b"xy");
    assert_eq!(files.list().expect("list"), ["b"]);
}

pub fn renaming_replaces_whatever_has_the_name(files: &impl Files) {
    files.create("a", 10).expect("create").write_at(b"a", 0).expect("write");
    files.create("b", 10).expect("create").write_at(b"b", 0).expect("write");
    files.rename("a", "b").expect("rename");
    assert_eq!(files.list().expect("list"), ["b"]);
    assert_eq!(read(&*files.open("b").expect("open"), 0, 1), b"a");
}

pub fn a_removed_file_is_gone(files: &impl Files) {
    drop(files.create("a", 10).expect("create"));
    files.remove("a").expect("remove");
    assert!(files.list().expect("list").is_empty());
    assert!(read(&*files.create("a", 10).expect("create"), 0, 10).iter().all(|byte| *byte == 0));
}

pub fn names_are_listed_in_order(files: &impl Files) {
    for name in ["b", "a.log", "c-1", "a"] {
        files.create(name, 8).expect("create");
    }
    assert_eq!(files.list().expect("list"), ["a", "a.log", "b", "c-1"]);
}

pub fn handles_of_one_file_see_each_others_writes(files: &impl Files) {
    let one = files.create("a", 10).expect("create");
    let two = files.open("a").expect("open");
    one.write_at(b"1", 0).expect("write");
    two.write_at(b"2", 1).expect("write");
    assert_eq!(read(&*one, 0, 2), b"12");
    assert_eq!(read(&*two, 0, 2), b"12");
}

#[cfg(test)]
mod tests {
    use crate::files::Saboteur;

    crate::files!(Saboteur::new);
}
