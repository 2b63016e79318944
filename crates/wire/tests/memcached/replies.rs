//! Properties of the reader of replies: cut anywhere it means the same, and garbage never makes it ask for more than its
//! limits.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::{Index, select};

use crate::answers::replies;

fn flags() -> impl Strategy<Value = String> {
    let flag = prop_oneof!["[Ocf][0-9]{1,9}", "[WZX]", "k[a-z]{1,9}", "[st]-?[0-9]{1,3}"];
    vec(flag, 0..6).prop_map(|flags| flags.into_iter().fold(String::new(), |all, flag| all + " " + &flag))
}

fn reply() -> impl Strategy<Value = Vec<u8>> {
    let value = (flags(), vec(any::<u8>(), 0..600)).prop_map(|(flags, value)| {
        [format!("VA {}{flags}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat()
    });
    let line =
        ("HD|EN|NS|EX|NF|MN|OK|END|ERROR", flags()).prop_map(|(code, flags)| format!("{code}{flags}\r\n"));
    let text = "(VERSION|STAT|CLIENT_ERROR|SERVER_ERROR)( [ -~]{0,40})?".prop_map(|text| text + "\r\n");
    prop_oneof![value, line.prop_map(String::into_bytes), text.prop_map(String::into_bytes)]
}

fn cut<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.push(stream.len());
    places.sort_unstable();
    let mut start = 0;
    places.iter().map(|end| &stream[std::mem::replace(&mut start, *end)..*end]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_reply_of_a_stream_is_read_wherever_it_is_cut(
        stream in vec(reply(), 0..12),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let whole = stream.concat();
        let read = replies(&cut(&whole, &cuts));
        assert_eq!(read.len(), stream.len());
        assert!(!read.contains(&"broken".to_owned()));
        assert_eq!(read, replies(&[&whole]));
    }

    #[test]
    fn garbage_is_read_to_its_end_or_given_up(
        stream in vec(prop_oneof![
            vec(any::<u8>(), 0..300),
            reply(),
            select(vec!["VA 9999999999\r\n", "VA 4096 ", "\r\n", "HD", "\n", "VA 3\r\nab"]).prop_map(|text| text.as_bytes().to_vec()),
        ], 0..10),
        cuts in vec(any::<Index>(), 0..6),
    ) {
        let whole = stream.concat();
        assert_eq!(replies(&cut(&whole, &cuts)), replies(&[&whole]));
    }
}
