//! The way in: the head of a byte stream becomes one request, or the wish for more bytes.

use super::opcode::{Kind, kind};
use super::request::{Count, Echo, Mode, Operation, Read, Request, Sasl, Write};
use super::status::Status;
use super::{HEADER_BYTES, REQUEST_MAGIC};
use crate::memcached::command::{Command, Section};
use crate::memcached::parse::{Limits, Parsed};

/// Extras of a write: flags and end of life.
const STORE_EXTRAS: u8 = 8;
/// Extras of a counter: step, first number, end of life.
const COUNT_EXTRAS: u8 = 20;
/// Extras of whatever gives a new end of life.
const TOUCH_EXTRAS: u8 = 4;
/// An end of life that asks for no counter to be made.
const NO_CREATION: u32 = u32::MAX;
/// What may be said of oneself at one time.
const SASL_BYTES_MAX: usize = 4 * 1024;
/// A mechanism's name, as memcached has it.
const MECHANISM_BYTES_MAX: usize = 32;

/// What a packet begins with.
#[derive(Clone, Copy)]
struct Header {
    echo: Echo,
    key: usize,
    extras: u8,
    body: usize,
    compare: u64,
}

impl Header {
    fn read(bytes: [u8; HEADER_BYTES]) -> Self {
        let [_, opcode, k0, k1, extras, _, _, _, b0, b1, b2, b3, o0, o1, o2, o3, compare @ ..] = bytes;
        Self {
            echo: Echo { opcode, opaque: [o0, o1, o2, o3] },
            key: usize::from(u16::from_be_bytes([k0, k1])),
            extras,
            body: u32::from_be_bytes([b0, b1, b2, b3]) as usize,
            compare: u64::from_be_bytes(compare),
        }
    }

    /// Extras and key together.
    fn front(&self) -> usize {
        usize::from(self.extras) + self.key
    }

    /// The length of the value.
    fn value(&self) -> usize {
        self.body.saturating_sub(self.front())
    }

    /// Whether it has such extras, a key or none, and nothing else.
    fn is(&self, extras: u8, has_key: bool) -> bool {
        self.extras == extras && (self.key > 0) == has_key && self.value() == 0
    }
}

/// Reads the head of `input`. Allocates nothing. The command is always [`Command::Binary`].
pub fn parse<'a>(input: &'a [u8], limits: &Limits) -> Parsed<'a> {
    let Some((header, rest)) = input.split_first_chunk::<HEADER_BYTES>() else {
        // Nothing of another kind is awaited to its end.
        return match input.first() {
            None | Some(&REQUEST_MAGIC) => Parsed::Incomplete { needed: HEADER_BYTES, searched: 0 },
            Some(_) => Parsed::Close,
        };
    };
    if header.first() != Some(&REQUEST_MAGIC) {
        return Parsed::Close;
    }
    let header = Header::read(*header);
    // Nothing that is refused is awaited: a key may be said to have 64 KiB.
    let refused = Parts { header, quiet: false, input, extras: &[], key: &[], limits };
    if header.front() > header.body {
        return refused.complete(Operation::Refused { status: Status::Unknown, closes: true }, HEADER_BYTES);
    }
    if header.key > limits.key_bytes_max {
        return refused.complete(Operation::Refused { status: Status::Invalid, closes: true }, HEADER_BYTES);
    }
    let Some((extras, key)) =
        rest.get(..header.front()).and_then(|front| front.split_at_checked(usize::from(header.extras)))
    else {
        return Parsed::Incomplete { needed: HEADER_BYTES + header.front(), searched: 0 };
    };
    let parts = Parts { extras, key, ..refused };
    match kind(header.echo.opcode) {
        Some((kind, quiet)) => Parts { quiet, ..parts }.read(kind),
        None => parts.refuse(Status::Unknown, false),
    }
}

/// A packet of which all but the value is there.
#[derive(Clone, Copy)]
struct Parts<'a, 'l> {
    header: Header,
    quiet: bool,
    input: &'a [u8],
    extras: &'a [u8],
    key: &'a [u8],
    limits: &'l Limits,
}

impl<'a> Parts<'a, '_> {
    fn read(self, kind: Kind) -> Parsed<'a> {
        let (header, key) = (self.header, self.key);
        let compare = header.compare;
        match kind {
            Kind::Get(shows) if header.is(0, true) => {
                self.done(Operation::Read(Read { key, shows, touch: None }))
            }
            // What comes behind the key is passed over, as memcached does not look for it here.
            Kind::GetAndTouch(shows) if header.extras == TOUCH_EXTRAS && !key.is_empty() => {
                let touch = Some(self.number_32(0));
                self.done(Operation::Read(Read { key, shows, touch }))
            }
            Kind::Store(mode) if header.extras == STORE_EXTRAS && !key.is_empty() => {
                self.write(mode, self.number_32(0), self.number_32(4))
            }
            Kind::Extend(mode) if header.extras == 0 && !key.is_empty() => self.write(mode, 0, 0),
            Kind::Delete if header.is(0, true) => self.done(Operation::Delete { key, compare }),
            Kind::Count { up } if header.is(COUNT_EXTRAS, true) => {
                let exptime = self.number_32(16);
                let create = (exptime != NO_CREATION).then(|| (self.number_64(8), exptime));
                self.done(Operation::Count(Count { key, up, delta: self.number_64(0), create, compare }))
            }
            Kind::Quit if header.is(0, false) => self.done(Operation::Quit),
            Kind::Noop if header.is(0, false) => self.done(Operation::Noop),
            Kind::Version if header.is(0, false) => self.done(Operation::Version),
            Kind::SaslList if header.is(0, false) => self.done(Operation::SaslList),
            Kind::Flush if header.is(0, false) => self.done(Operation::Flush { delay: 0 }),
            Kind::Flush if header.is(TOUCH_EXTRAS, false) => {
                self.done(Operation::Flush { delay: self.number_32(0) })
            }
            Kind::Stat if header.extras == 0 => match section(key) {
                Some(section) => self.done(Operation::Stats(section)),
                None => self.refuse(Status::NotFound, false),
            },
            Kind::Sasl if header.extras == 0 && !key.is_empty() => self.sasl(),
            _ => self.refuse(Status::Invalid, true),
        }
    }

    fn write(self, mode: Mode, flags: u32, exptime: u32) -> Parsed<'a> {
        let (header, key) = (self.header, self.key);
        if i32::try_from(header.body).is_err() {
            return Parsed::Close;
        }
        if !self.limits.takes(key.len(), flags, header.value()) {
            return self.done(Operation::Oversized { key, forget: mode == Mode::Set });
        }
        let compare = header.compare;
        self.with_value(|value| Operation::Write(Write { key, mode, flags, exptime, compare, value }))
    }

    fn sasl(self) -> Parsed<'a> {
        if self.key.len() > MECHANISM_BYTES_MAX || self.header.value() > SASL_BYTES_MAX {
            return self.refuse(Status::Invalid, false);
        }
        let (mechanism, is_step) = (self.key, self.header.echo.opcode == 0x22);
        self.with_value(|data| Operation::Sasl(Sasl { mechanism, data, is_step }))
    }

    /// An operation with its value, once that is all there.
    fn with_value(self, operation: impl FnOnce(&'a [u8]) -> Operation<'a>) -> Parsed<'a> {
        let consumed = HEADER_BYTES + self.header.body;
        match self.input.get(HEADER_BYTES + self.header.front()..consumed) {
            Some(value) => self.complete(operation(value), consumed),
            None => Parsed::Incomplete { needed: consumed, searched: 0 },
        }
    }

    /// An operation without a value, or one whose value is not looked at.
    fn done(self, operation: Operation<'a>) -> Parsed<'a> {
        self.complete(operation, HEADER_BYTES + self.header.front())
    }

    fn refuse(self, status: Status, closes: bool) -> Parsed<'a> {
        self.done(Operation::Refused { status, closes })
    }

    /// What is left of the packet is to be thrown away.
    fn complete(self, operation: Operation<'a>, consumed: usize) -> Parsed<'a> {
        let command = Command::Binary(Request { echo: self.header.echo, quiet: self.quiet, operation });
        Parsed::Complete {
            command,
            consumed,
            swallow: (HEADER_BYTES + self.header.body).saturating_sub(consumed),
        }
    }

    /// The number at `place` of the extras, which are there.
    fn number_32(&self, place: usize) -> u32 {
        let bytes = self.extras.get(place..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    fn number_64(&self, place: usize) -> u64 {
        let bytes = self.extras.get(place..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

/// What a `Stat` names. memcached looks at the beginning of two of the names alone.
fn section(name: &[u8]) -> Option<Section> {
    Some(match name {
        b"" => Section::General,
        b"items" => Section::Items,
        b"slabs" => Section::Slabs,
        b"sizes" => Section::Sizes,
        name if name.starts_with(b"settings") => Section::Settings,
        name if name.starts_with(b"reset") => Section::Reset,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        key_bytes_max: 250,
        item_bytes_max: 200,
        open_line_bytes_max: 2048,
        line_bytes_max: 2048,
        get_line_bytes_max: 2048,
    };

    /// A packet; `body` is what its header says of its length.
    fn packet(opcode: u8, key: &[u8], extras: &[u8], value: &[u8], body: usize) -> Vec<u8> {
        let mut packet = vec![0x80, opcode];
        packet.extend((key.len() as u16).to_be_bytes());
        packet.extend([extras.len() as u8, 0, 0, 0]);
        packet.extend((body as u32).to_be_bytes());
        packet.extend([1, 2, 3, 4]);
        packet.extend(7u64.to_be_bytes());
        [&packet, extras, key, value].concat()
    }

    fn whole(opcode: u8, key: &[u8], extras: &[u8], value: &[u8]) -> Vec<u8> {
        packet(opcode, key, extras, value, key.len() + extras.len() + value.len())
    }

    /// What a packet is read as, its length, and what is to be thrown away after that.
    fn read(packet: &[u8]) -> (Request<'_>, usize, usize) {
        match parse(packet, &LIMITS) {
            Parsed::Complete { command: Command::Binary(request), consumed, swallow } => {
                (request, consumed, swallow)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_write_has_its_numbers_in_network_order_and_waits_for_its_value() {
        let packet = whole(0x01, b"key", &[0, 0, 1, 2, 0, 0, 0, 9], b"value");
        let (request, consumed, swallow) = read(&packet);
        assert_eq!((consumed, swallow, request.quiet), (24 + 8 + 3 + 5, 0, false));
        assert_eq!(request.echo, Echo { opcode: 1, opaque: [1, 2, 3, 4] });
        let Operation::Write(write) = request.operation else { panic!("{request:?}") };
        assert_eq!((write.key, write.value, write.mode), (&b"key"[..], &b"value"[..], Mode::Set));
        assert_eq!((write.flags, write.exptime, write.compare), (258, 9, 7));
        for length in 0..packet.len() {
            let Parsed::Incomplete { needed, .. } = parse(&packet[..length], &LIMITS) else {
                panic!("{length}")
            };
            assert!(needed > length && needed <= packet.len());
        }
    }

    #[test]
    fn a_counter_is_made_unless_its_end_of_life_says_no() {
        let extras = |exptime: u32| {
            [5u64.to_be_bytes(), 13u64.to_be_bytes()]
                .concat()
                .into_iter()
                .chain(exptime.to_be_bytes())
                .collect::<Vec<u8>>()
        };
        for (exptime, create) in [(0, Some((13, 0))), (60, Some((13, 60))), (u32::MAX, None)] {
            let packet = whole(0x16, b"n", &extras(exptime), b"");
            let (request, ..) = read(&packet);
            let Operation::Count(count) = request.operation else { panic!("{request:?}") };
            assert_eq!((count.up, count.delta, count.create, request.quiet), (false, 5, create, true));
        }
    }

    #[test]
    fn what_does_not_fit_its_opcode_ends_the_connection() {
        let flush = [0; 4];
        let long = [b'k'; 251];
        for (opcode, key, extras, value) in [
            (0x00, &b""[..], &b""[..], &b""[..]),
            (0x00, b"k", b"", b"v"),
            (0x00, b"k", &flush, b""),
            (0x00, &long, b"", b""),
            (0x01, b"k", b"", b"v"),
            (0x01, b"", &[0; 8], b"v"),
            (0x04, b"k", b"", b"v"),
            (0x05, b"k", &[0; 19], b""),
            (0x07, b"k", b"", b""),
            (0x08, b"k", b"", b""),
            (0x0a, b"", b"", b"v"),
            (0x0b, b"k", b"", b""),
            (0x0e, b"k", &[0; 8], b"v"),
            (0x10, b"", &flush, b""),
            (0x1d, b"k", b"", b""),
            (0x20, b"k", b"", b""),
            (0x21, b"", b"", b"v"),
        ] {
            let packet = whole(opcode, key, extras, value);
            let (request, ..) = read(&packet);
            let Operation::Refused { status, closes } = request.operation else { panic!("{request:?}") };
            assert_eq!((status, closes), (Status::Invalid, true), "{opcode:#x}");
        }
    }

    #[test]
    fn an_unknown_opcode_is_passed_over_with_all_that_came_with_it() {
        for (opcode, key, extras, value) in
            [(0x1b, &b""[..], &[0; 4][..], &b""[..]), (0x55, b"key", b"", b"value")]
        {
            let packet = whole(opcode, key, extras, value);
            let (request, consumed, swallow) = read(&packet);
            let Operation::Refused { status, closes } = request.operation else { panic!("{request:?}") };
            assert_eq!((status, closes, consumed + swallow), (Status::Unknown, false, packet.len()));
        }
    }

    #[test]
    fn lengths_that_contradict_each_other_end_the_connection_and_nothing_of_them_is_awaited() {
        let bad = packet(0x00, b"key", b"", b"", 2);
        for length in HEADER_BYTES..=bad.len() {
            let (request, consumed, _) = read(&bad[..length]);
            assert!(matches!(
                request.operation,
                Operation::Refused { status: Status::Unknown, closes: true }
            ));
            assert_eq!(consumed, HEADER_BYTES);
        }
        let long = whole(0x00, &[b'k'; 60_000], b"", b"");
        let (request, consumed, swallow) = read(&long[..HEADER_BYTES]);
        assert!(matches!(request.operation, Operation::Refused { status: Status::Invalid, closes: true }));
        assert_eq!((consumed, swallow), (HEADER_BYTES, 60_000));
        let endless = packet(0x01, b"key", &[0; 8], b"v", u32::MAX as usize);
        assert!(matches!(parse(&endless, &LIMITS), Parsed::Close));
        assert!(matches!(parse(&[0x81; 24], &LIMITS), Parsed::Close));
        assert!(matches!(parse(b"version\r\n", &LIMITS), Parsed::Close));
    }

    #[test]
    fn a_value_over_the_limit_is_not_awaited() {
        for (opcode, forget) in [(0x01, true), (0x11, true), (0x02, false), (0x03, false)] {
            let packet = packet(opcode, b"key", &[0; 8], b"be", 8 + 3 + 5000);
            let (request, consumed, swallow) = read(&packet);
            assert!(
                matches!(request.operation, Operation::Oversized { key: b"key", forget: found } if found == forget)
            );
            assert_eq!((consumed, swallow), (24 + 11, 5000));
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let packet = whole(0x21, b"PLAIN", b"", b"\0user\0secret");
        let (request, ..) = read(&packet);
        let Operation::Sasl(sasl) = request.operation else { panic!("{request:?}") };
        assert_eq!((sasl.mechanism, sasl.data, sasl.is_step), (&b"PLAIN"[..], &b"\0user\0secret"[..], false));
        assert!(!format!("{request:?}").contains("secret"));
    }
}
