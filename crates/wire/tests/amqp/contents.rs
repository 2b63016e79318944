//! A body cut into frames, copied or left where it lies.

use forebay_wire::amqp::frame::{Decoded, Payload};
use forebay_wire::amqp::methods::basic;
use forebay_wire::amqp::text::ShortStr;
use forebay_wire::amqp::write::{around_body, content};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

use crate::stream::agreed;

const DELIVER: fn() -> basic::Deliver<'static> = || basic::Deliver {
    consumer_tag: ShortStr::cut("ctag"),
    delivery_tag: 9,
    redelivered: false,
    exchange: ShortStr::cut("e"),
    routing_key: ShortStr::cut("k"),
};

/// The parts of the body that the frames of `stream` bring, and the size that the header announced.
fn bodies(mut stream: &[u8], frame_max: u32) -> (u64, Vec<&[u8]>) {
    let decoder = agreed(frame_max);
    let (mut announced, mut bodies) = (0, Vec::new());
    for place in 0.. {
        if stream.is_empty() {
            break;
        }
        let Ok(Decoded::Complete { frame, consumed }) = decoder.decode(stream) else { panic!("whole") };
        assert!(consumed <= frame_max as usize, "{consumed}");
        assert_eq!(frame.channel, 5);
        match (place, frame.payload) {
            (0, Payload::Method(method)) => assert_eq!(method, DELIVER().into()),
            (1, Payload::Header(header)) => announced = header.body_bytes,
            (_, Payload::Body(body)) => bodies.push(body),
            (_, payload) => panic!("{payload:?}"),
        }
        stream = &stream[consumed..];
    }
    (announced, bodies)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_body_is_cut_into_full_frames_and_a_rest(body in vec(any::<u8>(), 0..20_000), frame_max in 4096u32..9000) {
        let mut copied = b"before".to_vec();
        content(&mut copied, 5, &DELIVER(), &[0, 0], &body, frame_max);
        let (announced, bodies) = bodies(&copied[6..], frame_max);
        assert_eq!(announced, body.len() as u64);
        assert_eq!(bodies.concat(), body);
        let most = frame_max as usize - 8;
        assert_eq!(bodies.len(), body.len().div_ceil(most));
        assert!(bodies.iter().rev().skip(1).all(|part| part.len() == most));
    }

    #[test]
    fn a_body_that_stays_where_it_lies_is_sent_as_if_it_were_copied(
        body in vec(any::<u8>(), 0..20_000),
        frame_max in 4096u32..9000,
    ) {
        let (mut copied, mut around) = (Vec::new(), b"before".to_vec());
        content(&mut copied, 5, &DELIVER(), &[0, 0], &body, frame_max);
        let place = around_body(&mut around, 5, &DELIVER(), &[0, 0], body.len(), frame_max);
        around.extend_from_slice(b"after");
        assert_eq!(place.pieces(&around, &body).collect::<Vec<_>>().concat(), copied);
        let of_body = place.pieces(&around, &body).filter(|piece| body.as_ptr_range().contains(&piece.as_ptr()));
        assert_eq!(of_body.map(<[u8]>::len).sum::<usize>(), body.len());
    }
}

#[test]
fn an_empty_body_has_no_frame() {
    let mut copied = Vec::new();
    content(&mut copied, 5, &DELIVER(), &[0, 0], b"", 4096);
    assert_eq!(bodies(&copied, 4096), (0, Vec::new()));
}

#[test]
fn a_body_of_exactly_one_frame_is_not_followed_by_an_empty_one() {
    let mut copied = Vec::new();
    content(&mut copied, 5, &DELIVER(), &[0, 0], &[1; 4088], 4096);
    assert_eq!(bodies(&copied, 4096), (4088, vec![&[1; 4088][..]]));
}
