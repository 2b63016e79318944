//! A message as SQS has it: the payload is the body, its envelope one attribute, which begins with how the payload is there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use forebay_core::limits;
use forebay_core::message::{Message, MessageId};
use forebay_core::payload::Payload;
use forebay_core::time::Instant;
use forebay_envelope::envelope::Envelope;
use serde::{Deserialize, Serialize};

use super::claims::Claim;

/// The attribute that everything is in.
pub(crate) const ATTRIBUTE: &str = "forebay";
/// What SQS takes as the body of a message that has none: it must have one character.
const NO_BODY: &str = "-";

/// How the payload is in the body.
#[derive(Serialize, Deserialize)]
enum Body {
    Nothing,
    Text,
    Base64,
    Claim(Claim),
}

/// A message as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) body: String,
    pub(crate) attribute: Vec<u8>,
}

impl Packed {
    /// What SQS counts.
    pub(crate) fn bytes(&self) -> usize {
        self.body.len() + self.attribute.len() + limits::sqs::ENTRY_BYTES
    }
}

/// As SQS takes it, in no more than so many bytes if that can be: the oldest lines of its history may be left out. What is
/// claimed is not in it.
pub(crate) fn pack(envelope: &Envelope, claim: Option<&Claim>, bytes_max: usize) -> Packed {
    let payload = &envelope.message.payload;
    let (kind, body) = match (claim, std::str::from_utf8(payload)) {
        (Some(claim), _) => (Body::Claim(claim.clone()), NO_BODY.to_owned()),
        (None, Ok("")) => (Body::Nothing, NO_BODY.to_owned()),
        (None, Ok(text)) if text.chars().all(is_taken) => (Body::Text, text.to_owned()),
        (None, _) => (Body::Base64, BASE64.encode(&**payload)),
    };
    let beside = body.len() + limits::sqs::ENTRY_BYTES;
    let attribute = envelope.encode(kind, (), bytes_max.saturating_sub(beside));
    Packed { body, attribute }
}

/// What came, and what claims its payload, which is not there then. A message of another program has its body as its payload,
/// and `id` as its name.
pub(crate) fn unpack(
    body: &str,
    attribute: Option<&[u8]>,
    id: &str,
    sent_at: Instant,
) -> (Envelope, Option<Claim>) {
    ours(body, attribute).unwrap_or_else(|| {
        // SQS's own ids have at most 100 characters.
        let id = MessageId::given(id).unwrap_or_else(|_| MessageId::generate(sent_at, [0; 2]));
        (Envelope::new(Message::new(id, Payload::from(body)), sent_at), None)
    })
}

fn ours(body: &str, attribute: Option<&[u8]>) -> Option<(Envelope, Option<Claim>)> {
    let (kind, envelope, ()) = Envelope::decode(attribute?)?;
    let (payload, claim) = match kind {
        Body::Nothing => (Payload::empty(), None),
        Body::Claim(claim) => (Payload::empty(), Some(claim)),
        Body::Text => (Payload::from(body), None),
        Body::Base64 => (Payload::from(BASE64.decode(body).ok()?), None),
    };
    Some((envelope.with_payload(payload), claim))
}

/// The characters that SQS takes: those of XML.
fn is_taken(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use forebay_core::delivery::Reason;
    use forebay_core::queue::QueueName;

    use super::*;

    const LARGE: usize = 256 * 1024;
    const NOW: Instant = Instant::from_ms(9);

    fn id(id: &str) -> MessageId {
        MessageId::given(id).unwrap()
    }

    fn with(payload: &[u8]) -> Envelope {
        let message = Message::new(id("m"), payload.into());
        Envelope::new(Message { content_type: Some("text/plain".into()), ..message }, Instant::from_ms(7_000))
    }

    fn unpacked(packed: &Packed) -> (Envelope, Option<Claim>) {
        unpack(&packed.body, Some(&packed.attribute), "other", NOW)
    }

    #[test]
    fn what_is_in_body_and_attribute_stays_what_it_is() {
        let told = "016d010a746578742f706c61696e010900000000000000000000d836d83600";
        let claim = Claim { name: "n".into(), bytes: 300, crc: 7 };
        let cases = [
            (&b"body"[..], None, "body", "0101"),
            (b"", None, "-", "0100"),
            (b"\0", None, "AA==", "0102"),
            (b"body", Some(&claim), "-", "0103016eac0207"),
        ];
        for (payload, claim, body, told_before) in cases {
            let packed = pack(&with(payload), claim, LARGE);
            let hexadecimal: String = packed.attribute.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!((packed.body.as_str(), hexadecimal), (body, format!("{told_before}{told}")));
        }
    }

    #[test]
    fn every_payload_comes_back() {
        for payload in [&b"text"[..], b"", b"\0control", b"\xff\xfe"] {
            let packed = pack(&with(payload), None, LARGE);
            assert!(!packed.body.is_empty() && packed.body.chars().all(is_taken));
            let (back, claim) = unpacked(&packed);
            assert_eq!((back.message, claim), (with(payload).message, None));
        }
    }

    #[test]
    fn a_claim_travels_instead_of_the_payload() {
        let claim = Claim { name: "n".into(), bytes: 5, crc: 7 };
        let (back, claimed) = unpacked(&pack(&with(b"large"), Some(&claim), LARGE));
        assert_eq!((claimed, back.message.payload.len()), (Some(claim), 0));
        assert_eq!(back.with_payload("large".into()).message, with(b"large").message);
    }

    #[test]
    fn what_is_not_ours_is_taken_as_it_is() {
        let spoiled = Packed { body: "?".into(), ..pack(&with(b"\0"), None, LARGE) };
        assert_eq!(&*unpacked(&spoiled).0.message.payload, b"?");
        for attribute in [None, Some(&b""[..]), Some(&[1]), Some(&[1, 200, 200]), Some(&[99, 1])] {
            let (envelope, claim) = unpack("body", attribute, "theirs", NOW);
            assert_eq!((&envelope.message.id, &*envelope.message.payload), (&id("theirs"), &b"body"[..]));
            assert_eq!((envelope.published_at, claim), (NOW, None));
        }
    }

    #[test]
    fn a_long_history_is_cut_so_that_the_message_goes_on() {
        let note = "é".repeat(limits::NOTE_BYTES_MAX);
        let mut envelope = with("x".repeat(200 * 1024).as_bytes());
        for round in 0..limits::HISTORY_ENTRIES_MAX {
            let from = QueueName::new(&format!("{round} {}", "q".repeat(240))).unwrap();
            envelope = envelope.leave(&from, Reason::Rejected, 1, Some(&note), NOW);
        }
        let packed = pack(&envelope, None, LARGE);
        assert!(packed.bytes() <= LARGE);
        let (back, _) = unpacked(&packed);
        assert!((1..envelope.history.len()).contains(&back.history.len()));
        assert_eq!(back.history.last(), envelope.history.last());
        assert_eq!(back.message, envelope.message);
    }
}
