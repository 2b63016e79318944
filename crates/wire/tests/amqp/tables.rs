//! Field tables: what is built is what is read, what is malformed is refused, and depth has its end.

use forebay_wire::amqp::fault::Reason;
use forebay_wire::amqp::table::{ArrayBuf, DEPTH_MAX, Table, TableBuf, Value};
use forebay_wire::amqp::text::ShortBytes;
use proptest::collection::vec;
use proptest::num::{f32, f64};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

/// A value that owns what it holds.
#[derive(Clone, Debug)]
enum Sample {
    Plain(Value<'static>),
    Text(Vec<u8>),
    Bytes(Vec<u8>),
    Array(Vec<Sample>),
    Table(Vec<(Vec<u8>, Sample)>),
}

fn sample() -> impl Strategy<Value = Sample> {
    let plain = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        f32::NORMAL.prop_map(Value::F32),
        f64::NORMAL.prop_map(Value::F64),
        any::<(u8, u32)>().prop_map(|(scale, digits)| Value::Decimal { scale, digits }),
        any::<u64>().prop_map(Value::Timestamp),
        Just(Value::Void),
    ];
    let leaf = prop_oneof![
        4 => plain.prop_map(Sample::Plain),
        1 => vec(any::<u8>(), 0..40).prop_map(Sample::Text),
        1 => vec(any::<u8>(), 0..40).prop_map(Sample::Bytes),
    ];
    leaf.prop_recursive(6, 40, 8, |within| {
        prop_oneof![
            vec(within.clone(), 0..8).prop_map(Sample::Array),
            fields(within).prop_map(Sample::Table),
        ]
    })
}

fn fields(value: impl Strategy<Value = Sample>) -> impl Strategy<Value = Vec<(Vec<u8>, Sample)>> {
    vec((vec(any::<u8>(), 0..20), value), 0..8)
}

fn table(fields: &[(Vec<u8>, Sample)]) -> TableBuf {
    let mut table = TableBuf::new();
    for (name, value) in fields {
        with(value, &mut |value| {
            table.push(ShortBytes::new(name).unwrap(), value);
        });
    }
    table
}

fn with(sample: &Sample, done: &mut dyn FnMut(Value<'_>)) {
    match sample {
        Sample::Plain(value) => done(*value),
        Sample::Text(bytes) => done(Value::Text(bytes)),
        Sample::Bytes(bytes) => done(Value::Bytes(bytes)),
        Sample::Table(fields) => done(Value::Table(table(fields).as_table())),
        Sample::Array(values) => {
            let mut array = ArrayBuf::new();
            for value in values {
                with(value, &mut |value| {
                    array.push(value);
                });
            }
            done(Value::Array(array.as_array()));
        }
    }
}

fn assert_same(read: Value<'_>, sample: &Sample) {
    match (read, sample) {
        (read, Sample::Plain(value)) => assert_eq!(read, *value),
        (Value::Text(read), Sample::Text(bytes)) | (Value::Bytes(read), Sample::Bytes(bytes)) => {
            assert_eq!(read, bytes);
        }
        (Value::Table(read), Sample::Table(fields)) => assert_same_fields(read, fields),
        (Value::Array(read), Sample::Array(values)) => {
            assert_eq!(read.values().count(), values.len());
            read.values().zip(values).for_each(|(read, value)| assert_same(read, value));
        }
        (read, sample) => panic!("{read:?} for {sample:?}"),
    }
}

fn assert_same_fields(read: Table<'_>, fields: &[(Vec<u8>, Sample)]) {
    assert_eq!(read.fields().count(), fields.len());
    for ((name, value), (expected, sample)) in read.fields().zip(fields) {
        assert_eq!(name.as_bytes(), expected);
        assert_same(value, sample);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_built_is_what_is_read_in_its_order(fields in fields(sample())) {
        let built = table(&fields);
        let read = Table::parse(built.as_table().as_bytes()).unwrap();
        assert_same_fields(read, &fields);
    }

    #[test]
    fn a_table_that_is_cut_is_refused_or_ends_after_a_field(fields in fields(sample())) {
        let built = table(&fields);
        let bytes = built.as_table().as_bytes();
        let ends: Vec<usize> =
            (0..=fields.len()).map(|count| table(&fields[..count]).as_table().as_bytes().len()).collect();
        for length in 0..bytes.len() {
            assert_eq!(Table::parse(&bytes[..length]).is_ok(), ends.contains(&length), "{length}");
        }
    }

    #[test]
    fn any_bytes_are_a_table_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(table) = Table::parse(&bytes) {
            assert!(table.fields().count() <= bytes.len());
            assert_eq!(table.as_bytes(), bytes);
        }
    }
}

#[test]
fn every_letter_means_what_rabbitmq_says() {
    let cases: &[(&[u8], Value<'_>)] = &[
        (b"t\x01", Value::Bool(true)),
        (b"t\x07", Value::Bool(true)),
        (b"t\0", Value::Bool(false)),
        (b"b\xff", Value::I8(-1)),
        (b"B\xff", Value::U8(255)),
        (b"s\xff\xff", Value::I16(-1)),
        (b"u\xff\xff", Value::U16(65_535)),
        (b"I\xff\xff\xff\xff", Value::I32(-1)),
        (b"i\xff\xff\xff\xff", Value::U32(u32::MAX)),
        (b"l\xff\xff\xff\xff\xff\xff\xff\xff", Value::I64(-1)),
        (b"L\xff\xff\xff\xff\xff\xff\xff\xff", Value::I64(-1)),
        (b"f\x3f\xc0\0\0", Value::F32(1.5)),
        (b"d\xbf\xf8\0\0\0\0\0\0", Value::F64(-1.5)),
        (b"D\x02\0\0\x04\xd2", Value::Decimal { scale: 2, digits: 1234 }),
        (b"T\0\0\0\0\0\0\x01\0", Value::Timestamp(256)),
        (b"S\0\0\0\x02hi", Value::Text(b"hi")),
        (b"x\0\0\0\x02\0\xff", Value::Bytes(b"\0\xff")),
        (b"V", Value::Void),
    ];
    for (bytes, value) in cases {
        let field = [b"\x01n", *bytes].concat();
        let table = Table::parse(&field).unwrap();
        assert_eq!(
            table.fields().map(|(_, value)| value).collect::<Vec<_>>(),
            [*value],
            "{}",
            bytes[0] as char
        );
    }
    for letter in (0..=u8::MAX).filter(|letter| !b"tbBsuIilLfdDTSxAFV".contains(letter)) {
        let field = [&b"\x01n"[..], &[letter], &[0; 16]].concat();
        assert_eq!(Table::parse(&field), Err(Reason::Table), "{letter}");
    }
}

#[test]
fn the_same_name_may_come_twice_and_the_first_counts() {
    let name = ShortBytes::new(b"n").unwrap();
    let mut table = TableBuf::new();
    table.push(name, Value::U8(1)).push(name, Value::U8(2));
    assert_eq!(table.as_table().fields().count(), 2);
    assert_eq!(table.as_table().get(b"n"), Some(Value::U8(1)));
    assert_eq!(table.as_table().get(b"m"), None);
}

#[test]
fn a_table_that_is_kept_is_sent_on_to_the_octet() {
    // A letter and a truth that we would write otherwise.
    let came = b"\x01nL\0\0\0\0\0\0\0\x07\x01nt\x07";
    let kept = TableBuf::from(Table::parse(came).unwrap());
    assert_eq!(kept.as_table().as_bytes(), came);
    let name = ShortBytes::new(b"m").unwrap();
    assert_eq!(kept.clone().push(name, Value::Void).as_table().as_bytes(), [came, &b"\x01mV"[..]].concat());
}

#[test]
fn lengths_that_run_over_their_end_are_refused() {
    let cases: &[&[u8]] = &[
        b"\x05n",
        b"\x01n",
        b"\x01nS\0\0\0\x03ab",
        b"\x01nS\xff\xff\xff\xffab",
        b"\x01nF\0\0\0\x03\x01nt",
        b"\x01nF\0\0\0\x05\x01nt\x01",
        b"\x01nA\0\0\0\x01t\x01",
        b"\x01nD\x01\0\0\0",
    ];
    for case in cases {
        assert_eq!(Table::parse(case), Err(Reason::Table), "{}", case.escape_ascii());
    }
}

/// A table in which `depth` tables or arrays are within each other, the outermost counted.
fn deep(depth: usize, arrays: bool) -> Vec<u8> {
    let mut within = Vec::new();
    for level in 1..depth {
        let (prefix, letter) = match (arrays, level + 1 == depth) {
            (true, false) => (&b""[..], b'A'),
            (true, true) => (&b"\x01n"[..], b'A'),
            (false, _) => (&b"\x01n"[..], b'F'),
        };
        let length = (within.len() as u32).to_be_bytes();
        within = [prefix, &[letter], &length, &within].concat();
    }
    within
}

#[test]
fn tables_and_arrays_are_read_to_a_depth_and_no_further() {
    for arrays in [false, true] {
        assert!(Table::parse(&deep(DEPTH_MAX, arrays)).is_ok());
        assert_eq!(Table::parse(&deep(DEPTH_MAX + 1, arrays)), Err(Reason::TableDepth));
        assert_eq!(Table::parse(&deep(15_000, arrays)), Err(Reason::TableDepth));
    }
}
