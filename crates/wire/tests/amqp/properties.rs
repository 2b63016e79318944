//! Whatever comes, in whatever pieces.

use forebay_wire::amqp::frame::{Decoded, FRAME_BYTES_MIN, OVERHEAD_BYTES};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::sample::{Index, select};

use crate::samples::{frames, refused};
use crate::stream::{agreed, framed, read};

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let frame = prop_oneof![
        4 => select(frames()),
        1 => select(refused()),
        2 => (any::<u16>(), vec(any::<u8>(), 0..300)).prop_map(|(channel, body)| framed(3, channel, &body)),
        1 => vec(any::<u8>(), 0..9),
    ];
    vec(frame, 0..12).prop_map(|frames| frames.concat())
}

fn pieces<'a>(stream: &'a [u8], cuts: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.push(stream.len());
    places.sort_unstable();
    let mut start = 0;
    places.iter().map(|end| &stream[std::mem::replace(&mut start, *end)..*end]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn where_a_stream_is_split_never_changes_what_it_means(
        stream in stream(),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        assert_eq!(read(&[&stream]), read(&pieces(&stream, &cuts)));
    }

    #[test]
    fn garbage_is_read_to_its_end_or_given_up(garbage in vec(any::<u8>(), 0..10_000)) {
        read(&[&garbage]);
    }

    #[test]
    fn a_payload_is_given_back_as_it_came(channel in any::<u16>(), body in vec(any::<u8>(), 0..4096)) {
        let stream = framed(3, channel, &body);
        let (meant, left) = read(&[&stream]);
        let expected = forebay_wire::amqp::frame::Frame {
            channel,
            payload: forebay_wire::amqp::frame::Payload::Body(&body),
        };
        assert_eq!((meant, left), (vec![format!("{expected:?}")], Vec::new()));
    }
}

#[test]
fn a_frame_that_is_cut_anywhere_is_awaited() {
    for stream in frames() {
        let decoder = agreed(131_072);
        let Ok(Decoded::Complete { consumed, .. }) = decoder.decode(&stream) else { panic!("whole") };
        for length in 0..consumed {
            let Ok(Decoded::Incomplete { needed }) = decoder.decode(&stream[..length]) else {
                panic!("{length} of {consumed}")
            };
            assert_eq!(needed, if length < 7 { 7 } else { consumed }, "{length} of {consumed}");
        }
    }
}

#[test]
fn a_frame_as_large_as_its_announcement_may_be_is_awaited_and_a_larger_one_is_not() {
    let mut decoder = agreed(0);
    for frame_max in [FRAME_BYTES_MIN, 131_072] {
        let head = |payload: u32| [&[3, 0, 1][..], &payload.to_be_bytes()].concat();
        let needed = (frame_max + OVERHEAD_BYTES) as usize;
        assert_eq!(decoder.decode(&head(frame_max)), Ok(Decoded::Incomplete { needed }));
        let broken = decoder.decode(&head(frame_max + 1)).unwrap_err();
        assert_eq!(broken.consumed, None);
        assert_eq!(
            broken.fault.to_string(),
            format!(
                "FRAME_ERROR - type 3, all octets = <<>>: {{frame_too_large,{},{}}}",
                frame_max + 1,
                frame_max - OVERHEAD_BYTES,
            ),
        );
        decoder.set_frame_max(131_072);
    }
}
