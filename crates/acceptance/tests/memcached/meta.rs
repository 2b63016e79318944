//! The meta commands and the same bytes to memcached: chosen cases, every byte of the answers compared.

use forebay_acceptance::memcached::differential::{
    assert_both, assert_newer, assert_same, assert_same_near, lines,
};

#[test]
fn meta_commands_are_answered_alike() {
    let opaque = "1".repeat(31);
    let mut streams = vec![
        lines(&["set a 5 0 3", "abc", "mg a", "mg a v", "mg a s v k t f c O123 q", "mg a t s", "mg a f k O"]),
        lines(&["mg none", "mg none q", "mg none k O1", "mg none q k O1 v", "mn"]),
        lines(&["ms b 2 c k O5 q", "hi", "ms b 2 c k O5", "hi", "ms b 2 T0 F5 MS", "hi", "mg b f v t"]),
        lines(&[
            "ms b 2 ME k",
            "hi",
            "ms b 2 MA",
            "hi",
            "ms b 2 MP c",
            "ho",
            "mg b v f",
            "ms none 2 MA O1",
            "hi",
        ]),
        lines(&["ms none 2 MR", "hi", "ms none 2 MR C1", "hi", "ms none 2 C1 c", "hi", "ms b 2 C0", "hi"]),
        lines(&[
            "ms b 2 MA C0",
            "hi",
            "ms none 2 MA C0",
            "hi",
            "ms none 2 MP C7",
            "hi",
            "ms none 2 ME C7",
            "hi",
        ]),
        lines(&["ms b 2 I", "hi", "mg b v", "ms b 2 C0 I", "hi", "ms b 3", "abcd", "ms b 3 q", "abcd", "mn"]),
        lines(&[
            "ms Zm9v 2 b k O9",
            "hi",
            "mg Zm9v k v b",
            "get foo",
            "mg Zm8= b k",
            "ms Zg== 1 b",
            "x",
            "mg Zg== v k b",
        ]),
        lines(&["mg Zm9 b", "ms Zm9 2 b", "hi", "md Zm9 b", "ma Zm9 b", "me Zm9 b", "mg AAAA b k", "mn"]),
        lines(&[
            "mg v1 N1500 t v c k O1",
            "mg v1 N1500 t v",
            "mg v1 v",
            "get v1",
            "ms v1 2",
            "hi",
            "mg v1 v t",
        ]),
        lines(&[
            "md v1 I T1500",
            "mg v1 v t",
            "mg v1 v t",
            "get v1",
            "ms v1 2",
            "yo",
            "mg v1 v t",
            "md v1 q",
            "mn",
        ]),
        lines(&[
            "md v1 q",
            "md v1 k O1 q",
            "md v1 z",
            "md v1 I I",
            "md v1 I",
            "md v1 C1",
            "set v1 0 0 1",
            "x",
            "md v1 C1 k",
        ]),
        lines(&[
            "mg v2 t N1500 t",
            "mg v2 t T2500 t",
            "mg v3 N1500 T2500 t",
            "mg v3 t",
            "mg v4 T2500 N1500 t",
            "mg v4 t",
        ]),
        lines(&["mg v5 N1500", "md v5 I", "mg v5", "mg v5", "set v5 0 0 1", "x", "mg v5"]),
        lines(&[
            "set r 0 1500 1",
            "x",
            "mg r R300",
            "mg r R2500 t",
            "mg r R2500",
            "mg r v",
            "mg r R0",
            "mg r R-1",
        ]),
        lines(&[
            "set r 0 0 1",
            "x",
            "mg r R2500",
            "mg r h",
            "mg r h",
            "set r 0 0 1",
            "y",
            "mg r h u",
            "mg r h",
            "mg r h",
        ]),
        lines(&[
            "set m 0 0 1",
            "5",
            "ma m",
            "ma m v",
            "ma m MD D3 v",
            "ma m M- D30 v t k O1",
            "ma m MI N9 q",
            "mn",
        ]),
        lines(&[
            "ma x",
            "ma x q k O1",
            "ma x N0 J13 v t",
            "ma x N1500 v t",
            "ma x T2500 v t",
            "ma x C1",
            "ma x MX",
        ]),
        lines(&[
            "ma x D1x",
            "ma x Jx",
            "set x 0 0 1",
            "a",
            "ma x",
            "ma x q",
            "ma y q N1500 J99",
            "mn",
            "ma y v T1500 t",
        ]),
        lines(&["ma z N1500 T2500 t", "ma w T2500 N1500 t", "ma u N0 J18446744073709551615 v", "ma u v"]),
        lines(&["mg a v v", "mg a z", "mg a S3", "mg a Nx", "mg a T", "mg a Rx", "mg a C", "mg a Fx"]),
        lines(&[
            "mg a Nx Fx",
            "mg a Fx M",
            "mg a MSS",
            "mg a Jx",
            "mg a Dx",
            "mg a \u{7f}",
            "md a Fx",
            "ma a Fx",
        ]),
        lines(&[
            "ms a 1 z",
            "x",
            "ms a 1 Fx",
            "x",
            "ms a 1 Mz",
            "x",
            "ms a x",
            "ms a -1",
            "ms a 1 v v",
            "x",
            "mn",
        ]),
        lines(&[&format!("mg a O{opaque}"), &format!("mg a O{opaque}1"), &format!("mg none O{opaque}1")]),
        lines(&[
            &format!("ms a 1 O{opaque}1"),
            "x",
            &format!("md a O{opaque}1"),
            &format!("ma nothing O{opaque}1"),
        ]),
    ];
    for verb in ["mg", "md", "ma"] {
        for count in [17, 18, 25] {
            streams.push(lines(&[&format!("{verb} a{}", " z".repeat(count)), "mn"]));
        }
    }
    streams.push(lines(&[
        &format!("ms a 1{}", " z".repeat(16)),
        "x",
        &format!("ms a 1{}", " z".repeat(17)),
        "x",
        "mn",
    ]));
    assert_same(&streams);
    assert_same_near(&streams, 10);
}

#[test]
fn a_version_is_good_for_one_write() {
    assert_both(|ask| {
        ask("set a 0 0 1\r\nx\r\ngets a\r\n", "STORED\r\nVALUE a 0 1 #0\r\nx\r\nEND\r\n");
        ask("cas a 0 0 1 #\r\ny\r\ncas a 0 0 1 #\r\nz\r\n", "STORED\r\nEXISTS\r\n");
        ask("ms a 1 k c\r\nv\r\n", "HD ka c#1\r\n");
        ask("ms a 1 MA C# k c\r\nw\r\nmd a C#\r\n", "HD ka c#2\r\nEX\r\n");
        // An older version than the one there is stored as stale, which one reader shall replace.
        ask("md a I\r\nms a 1 C# I\r\nu\r\n", "HD\r\nHD\r\n");
        ask("mg a v\r\nmg a v\r\n", "VA 1 X W\r\nu\r\nVA 1 Z X\r\nu\r\n");
        ask("mg a k c\r\nma a C1\r\n", "HD ka c#3 Z X\r\nEX\r\n");
        ask("md a C#\r\nget a\r\n", "HD\r\nEND\r\n");
    });
}

#[test]
fn a_stale_write_keeps_the_end_of_life_and_the_mark_that_somebody_loads() {
    assert_both(|ask| {
        ask("ms a 1 k c T1500\r\nv\r\n", "HD ka c#0\r\n");
        ask("md a I\r\nmg a\r\n", "HD\r\nHD X W\r\n");
        ask("ms a 1 C# I T9000\r\nu\r\nmg a t v\r\n", "HD\r\nVA 1 t~1 Z X\r\nu\r\n");
    });
}

/// Since 1.6.20: what is extended may be made, and its size is told.
#[test]
fn extending_may_make_what_is_not_there_and_tells_the_size() {
    assert_newer(|ask| {
        ask("ms a 2 s k E9 c\r\nhi\r\n", "HD s2 ka c9\r\n");
        ask("ms a 2 MA s\r\nhi\r\n", "HD s4\r\n");
        ask("ms a 3 ME s k Oq\r\nabc\r\n", "NS s3 ka Oq\r\n");
        ask("ms none 2 MA s\r\nhi\r\n", "NS s2\r\n");
        ask("ms b 2 MA N6000 s\r\nhi\r\nmg b v f\r\n", "HD s2\r\nVA 2 f0\r\nhi\r\n");
        ask("ms c 2 MP N0 F5 T100\r\nhi\r\nmg c v t f\r\n", "HD\r\nVA 2 t-1 f5\r\nhi\r\n");
        ask("ms c 2 MP N9 T100 F7 s\r\nho\r\nmg c v t f\r\n", "HD s4\r\nVA 4 t-1 f5\r\nhohi\r\n");
        ask("ms d 2 N5\r\nhi\r\nmg d t\r\n", "HD\r\nHD t-1\r\n");
        ask("ms none 2 MR N5\r\nhi\r\n", "NS\r\n");
        ask("ms e 2 MA N0 C7\r\nhi\r\nmg e v\r\n", "HD\r\nVA 2\r\nhi\r\n");
        ask("ms f 2 MA N0 q\r\nhi\r\nmg f v\r\n", "VA 2\r\nhi\r\n");
        ask("ms none 2 MA Nx\r\nhi\r\n", "CLIENT_ERROR bad token in command line format\r\n");
    });
}

/// Since 1.6.27: versions that the writer names.
#[test]
fn a_version_may_be_named() {
    assert_newer(|ask| {
        ask("ms n 2 E77\r\nhi\r\nmg n c v\r\n", "HD\r\nVA 2 c77\r\nhi\r\n");
        ask("ms n 2 C77 E78 c\r\nho\r\n", "HD c78\r\n");
        ask("ms n 2 C77 E79\r\nha\r\n", "EX\r\n");
        ask("ms n 2 MA E80 c\r\nhi\r\nmg n c v\r\n", "HD c80\r\nVA 4 c80\r\nhohi\r\n");
        ask("mg v N60 E90 c\r\nmg v c\r\n", "HD c90 W\r\nHD c90 Z\r\n");
        ask("ma m N0 J5 E91 c v\r\nma m E92 c v\r\n", "VA 1 c91\r\n5\r\nVA 1 c92\r\n6\r\n");
        ask("md n I E93\r\nmg n c v\r\n", "HD\r\nVA 4 c93 X W\r\nhohi\r\n");
        ask("ms o 1 T-1 E5 c\r\nx\r\n", "HD c5\r\n");
        ask("ms o 1 Ex\r\nx\r\n", "CLIENT_ERROR bad token in command line format\r\n");
    });
}

/// Since 1.6.27: an entry that stays without its value.
#[test]
fn an_entry_may_stay_without_its_value() {
    assert_newer(|ask| {
        ask("ms x 2 F5 E40\r\nhi\r\nmd x x\r\nmg x v f c\r\n", "HD\r\nHD\r\nVA 0 f0 c40\r\n\r\n");
        ask("md x x F7\r\nmg x v f\r\n", "HD\r\nVA 0 f7\r\n\r\n");
        ask("md x x T-1\r\nmg x\r\n", "HD\r\nEN\r\n");
        ask("ms y 2 E50\r\nhi\r\nmd y x I E51\r\nmg y v c\r\n", "HD\r\nHD\r\nVA 0 c51 X W\r\n\r\n");
        ask("md none x\r\n", "NF\r\n");
        ask("md y x C7\r\n", "EX\r\n");
    });
}
