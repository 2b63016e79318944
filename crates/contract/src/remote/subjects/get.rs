//! What is read is what was written, however many keys and whatever bytes.

use forebay_core::ports::BoxFuture;
use forebay_core::ports::remote_store::Put;

use super::super::Rig;
use super::super::scene::{
    SET, ask, done, get, get_all, hit, keys, lease, put, put_with, run, shared, together, try_put,
};

pub fn a_key_that_is_not_there_is_none(rig: &mut dyn Rig) {
    assert_eq!(shared(rig, "absent"), None);
}

pub fn what_was_put_is_read_as_it_was(rig: &mut dyn Rig) {
    let version = done(put_with(rig, "key", "value", SET));
    let read = shared(rig, "key").expect("it was put");
    assert_eq!((&*read.value, read.flags, read.version), (&b"value"[..], 0, version));
    let version = done(put_with(rig, "flagged", "value", Put { flags: u32::MAX, ..SET }));
    let read = shared(rig, "flagged").expect("it was put");
    assert_eq!((read.flags, read.version), (u32::MAX, version));
}

pub fn another_process_reads_what_was_put(rig: &mut dyn Rig) {
    put(rig, "key", "value");
    let other = rig.other();
    let answers = run(rig, other.get(&[b"key"]));
    assert_eq!(&*answers[0].as_ref().unwrap().as_ref().unwrap().value, b"value");
}

pub fn many_keys_are_answered_in_their_order(rig: &mut dyn Rig) {
    let mut keys = keys("many", 500);
    for (number, key) in keys.iter().enumerate().filter(|(number, _)| number % 3 != 0) {
        put(rig, key, &number.to_string());
    }
    keys.push("many:1".to_owned());
    let answers = get_all(rig, &keys);
    assert_eq!(answers.len(), 501);
    for (number, answer) in answers.into_iter().enumerate() {
        let number = if number == 500 { 1 } else { number };
        let expected = (number % 3 != 0).then(|| number.to_string().into_bytes());
        assert_eq!(answer.unwrap().map(|shared| shared.value.to_vec()), expected, "key {number}");
    }
}

pub fn no_keys_have_no_answers(rig: &mut dyn Rig) {
    assert!(get_all(rig, &[]).is_empty());
}

pub fn an_empty_value_is_there(rig: &mut dyn Rig) {
    put(rig, "empty", "");
    assert_eq!(get(rig, "empty"), Some(Vec::new()));
    assert_eq!(hit(ask(rig, "empty")), b"");
}

pub fn a_large_value_comes_back_equal(rig: &mut dyn Rig) {
    let value: Vec<u8> =
        (0..1_000_000u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    done(try_put(rig, "large", &value, SET).unwrap());
    put(rig, "small", "value");
    let answers = get_all(rig, &["large".to_owned(), "small".to_owned(), "large".to_owned()]);
    let read: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().unwrap().value).collect();
    assert!(*read[0] == value[..] && *read[2] == value[..], "it is another value");
    assert_eq!(&*read[1], b"value");
}

pub fn bytes_of_every_kind_come_back_equal(rig: &mut dyn Rig) {
    let all: Vec<u8> = (0..=255).collect();
    for value in [&all[..], b"\r\n", b"END\r\n", b"VA 2 s2\r\nHD\r\nEN\r\n", b"$-1\r\n", b"\0", b" "] {
        done(try_put(rig, "bytes", value, SET).unwrap());
        assert_eq!(get(rig, "bytes").as_deref(), Some(value));
    }
}

pub fn keys_of_every_length_and_byte_are_told_apart(rig: &mut dyn Rig) {
    let mut keys =
        vec!["k".to_owned(), "k".repeat(249), "k".repeat(250), "{a}:%\"'\\*\u{e9}\u{1f980}".to_owned()];
    keys.extend((0x21..0x7f).map(|byte: u8| format!("byte{}", char::from(byte))));
    for key in &keys {
        put(rig, key, key);
    }
    for key in &keys {
        assert_eq!(get(rig, key).as_deref(), Some(key.as_bytes()), "{key}");
    }
}

pub fn a_key_that_somebody_fills_is_none(rig: &mut dyn Rig) {
    lease(rig, "key");
    assert_eq!(shared(rig, "key"), None);
    let answers = get_all(rig, &["key".to_owned(), "key".to_owned()]);
    assert!(answers.into_iter().all(|answer| answer.unwrap().is_none()), "a lease is no value");
}

pub fn many_at_once_get_each_its_own_answer(rig: &mut dyn Rig) {
    let keys = keys("own", 200);
    for key in &keys {
        put(rig, key, key);
    }
    let store = rig.store();
    let store = &*store;
    let reads = keys.iter().map(|key| {
        let read: BoxFuture<'_, _> = Box::pin(async move {
            let answers = store.get(&[key.as_bytes()]).await;
            answers
                .into_iter()
                .next()
                .and_then(|answer| answer.ok().flatten())
                .map(|shared| shared.value.to_vec())
        });
        read
    });
    let answers = together(rig, reads.collect());
    for (key, answer) in keys.iter().zip(answers) {
        assert_eq!(answer.as_deref(), Some(key.as_bytes()));
    }
}
