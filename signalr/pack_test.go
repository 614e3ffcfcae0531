package signalr

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
)

// packed returns the bytes that a test spells in hexadecimal.
func packed(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// framed puts the length in front of a message.
func framed(body []byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

// The examples of Microsoft's HubProtocol.md, byte by byte. xyz is 78 79 7a, method 6d 65 74 68 6f 64.
func TestPackWrite(t *testing.T) {
	t.Attr("checklist", "item91")
	p := packProtocol{}
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, tc := range []struct {
		name, want string
		got        []byte
	}{
		{"item103 item92 invocation", "96 01 80 c0 a6 6d6574686f64 91 2a 90", must(p.appendInvocation(nil, "method", []any{42}))},
		{"item103 item92 item129 invocation with id", "96 01 80 a3 78797a a6 6d6574686f64 91 2a 90", must(p.appendRequest(nil, "xyz", "method", []any{42}))},
		{"item103 item94 stream item", "94 02 80 a3 78797a 2a", must(p.appendStreamItem(nil, "xyz", 42))},
		{"item94 nil is an item", "94 02 80 a3 78797a c0", must(p.appendStreamItem(nil, "xyz", nil))},
		{"item103 item95 completion with error", "95 03 80 a3 78797a 01 a5 4572726f72", must(p.appendCompletion(nil, "xyz", 42, "Error", true))},
		{"item103 item95 completion of nothing", "94 03 80 a3 78797a 02", must(p.appendCompletion(nil, "xyz", nil, "", false))},
		{"item103 item95 completion with result", "95 03 80 a3 78797a 03 2a", must(p.appendCompletion(nil, "xyz", 42, "", false))},
		{"item95 completion with nil", "95 03 80 a3 78797a 03 c0", must(p.appendCompletion(nil, "xyz", null{}, "", false))},
		{"item97 ping", "91 06", p.appendPing(nil)},
		{"item98 close", "93 07 c0 c2", p.appendClose(nil, "", false)},
		{"item99 ack", "92 08 2a", p.appendAck(nil, 42)},
		{"item99 sequence", "92 09 cf 0000000100000000", p.appendSequence(nil, 1<<32)},
		{"item103 item98 close with error", "93 07 a3 78797a c3", p.appendClose(nil, "xyz", true)},
	} {
		if want := framed(packed(t, tc.want)); !bytes.Equal(tc.got, want) {
			t.Errorf("%s: got %x, want %x", tc.name, tc.got, want)
		}
	}
	same := must(AppendMessagePackInvocation(nil, "method", json.RawMessage("42")))
	if got := must(p.appendInvocation(nil, "method", []any{42})); !bytes.Equal(got, same) {
		t.Errorf("%x is not %x", got, same)
	}
	if b := must(p.appendInvocation([]byte("before"), "m", []any{strings.Repeat("x", 300)})); string(b[:8]) != "before\xb7\x02" {
		t.Errorf("item91: length of two bytes behind others: %x", b[:8])
	}
	if _, err := AppendMessagePackInvocation(nil, "m", json.RawMessage("{")); err == nil {
		t.Error("what is no JSON was taken")
	}
}

func TestPackRead(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"item103 item92 invocation", "96 01 80 a3 78797a a6 6d6574686f64 91 2a 90", `1 id=xyz target=method args=* payload= streams=0 error=false: again=false seq=0`},
		{"item103 item92 no id", "96 01 80 c0 a6 6d6574686f64 91 2a 90", `1 id= target=method args=* payload= streams=0 error=false: again=false seq=0`},
		{"item92 empty id, five items", "95 01 80 a0 a6 6d6574686f64 90", `1 id= target=method args= payload= streams=0 error=false: again=false seq=0`},
		{"item103 item100 headers", "96 01 82 a1 78 a1 79 a1 7a a1 7a a3 78797a a6 6d6574686f64 91 2a 90", `1 id=xyz target=method args=* payload= streams=0 error=false: again=false seq=0`},
		{"item103 item93 stream invocation", "96 04 80 a3 78797a a6 6d6574686f64 91 2a 92 a1 31 a1 32", `4 id=xyz target=method args=* payload= streams=2 error=false: again=false seq=0`},
		{"item103 item94 stream item", "94 02 80 a3 78797a 2a", `2 id=xyz target= args= payload=* streams=0 error=false: again=false seq=0`},
		{"item103 item95 failed", "95 03 80 a3 78797a 01 a5 4572726f72", `3 id=xyz target= args= payload= streams=0 error=true:Error again=false seq=0`},
		{"item103 item95 void", "94 03 80 a3 78797a 02", `3 id=xyz target= args= payload= streams=0 error=false: again=false seq=0`},
		{"item103 item95 result", "95 03 80 a3 78797a 03 2a", `3 id=xyz target= args= payload=* streams=0 error=false: again=false seq=0`},
		{"item103 item96 cancel", "93 05 80 a3 78797a", `5 id=xyz target= args= payload= streams=0 error=false: again=false seq=0`},
		{"item103 item97 ping", "91 06", `6 id= target= args= payload= streams=0 error=false: again=false seq=0`},
		{"item98 item103 close of JavaScript", "92 07 c0", `7 id= target= args= payload= streams=0 error=false: again=false seq=0`},
		{"item103 item98 close", "93 07 a3 78797a c3", `7 id= target= args= payload= streams=0 error=true:xyz again=true seq=0`},
		{"item99 ack", "92 08 cf 7fffffffffffffff", `8 id= target= args= payload= streams=0 error=false: again=false seq=9223372036854775807`},
		{"item99 sequence of any width", "92 09 d3 0000000000000007", `9 id= target= args= payload= streams=0 error=false: again=false seq=7`},
		{"item101 items behind", "98 01 80 c0 a1 6d 90 90 93 01 02 03 81 a1 78 c4 02 0102", `1 id= target=m args= payload= streams=0 error=false: again=false seq=0`},
		{"item101 unknown type", "93 cd 1267 c0 c0", `4711 id= target= args= payload= streams=0 error=false: again=false seq=0`},
		{"item101 wide forms", "dc 0006 cc 01 de 0000 d9 03 78797a da 0001 6d dd 00000001 d1 002a dc 0000", `1 id=xyz target=m args=* payload= streams=0 error=false: again=false seq=0`},
		{"depth 64", "96 01 80 c0 a1 6d" + strings.Repeat("91", 63) + "c0 90", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var m message
			if err := (packProtocol{}).parse(packed(t, tc.in), &m); err != nil {
				t.Fatal(err)
			}
			// All payloads above are the number 42, in some width.
			got := strings.NewReplacer("\x2a", "*", "\xd1\x00\x2a", "*").Replace(shape(&m))
			if tc.want != "" && got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
	for _, in := range []string{
		"", "90", "c0", "06", "81 06 c0", "91 a1 36", "91 c0", "91 c1", "91 06 c0",
		"94 01 80 c0 a1 6d", "96 01 80 c0 c0 90 90", "96 01 80 c0 07 90 90", "96 01 c0 c0 a1 6d 90 90", "96 01 80 01 a1 6d 90 90",
		"96 01 80 c0 a1 6d c0 90", "96 01 80 c0 a1 6d 80 90", "96 01 80 c0 a1 6d 90 91 01", "96 01 80 c0 a1 6d 90 80",
		"96 01 81 a1 78 01 c0 a1 6d 90 90", "96 01 81 01 a1 78 c0 a1 6d 90 90", "96 04 80 c0 a1 6d 90 90", "96 04 80 a0 a1 6d 90 90",
		"94 02 80 c0 2a", "93 02 80 a1 78", "94 03 80 a1 78 03", "94 03 80 a1 78 01", "94 03 80 a1 78 04", "94 03 80 a1 78 00", "94 03 80 a0 02", "93 03 80 a1 78",
		"92 05 80", "93 05 80 a0", "91 07", "92 07 07", "93 07 c0 01", "91 08", "92 08 a1 31", "92 09 c0", "92 08 cf ffffffffffffffff", "92 08 cb 3ff0000000000000",
		"96 01 80 c0 a1 6d 91 d9", "96 01 80 c0 a1 6d 91 a5 78", "93 4f c0", // announced and not there
	} {
		var m message
		err := (packProtocol{}).parse(packed(t, in), &m)
		var de *dataError
		if !errors.As(err, &de) {
			t.Errorf("%s gave %v", in, err)
		}
	}
}

// item104 item91: what announces much and brings little costs little.
func TestPackHostile(t *testing.T) {
	bombs := map[string]string{
		"depth":        "96 01 80 c0 a1 6d" + strings.Repeat("91", 100000) + "c0 90",
		"depth 65":     "96 01 80 c0 a1 6d" + strings.Repeat("91", 64) + "c0 90",
		"depth of map": "96 01 80 c0 a1 6d 91" + strings.Repeat("81a178", 100000),
		"array":        "96 01 80 c0 a1 6d dd ffffffff c0 90",
		"array within": "96 01 80 c0 a1 6d 91 dd ffffffff c0 90",
		"map":          "96 01 80 c0 a1 6d 91 df 7fffffff c0 90",
		"string":       "96 01 80 c0 a1 6d 91 db ffffffff c0 90",
		"binary":       "96 01 80 c0 a1 6d 91 c6 ffffffff c0 90",
		"extension":    "96 01 80 c0 a1 6d 91 c9 ffffffff c0 90",
		"headers":      "96 01 df ffffffff c0",
		"message":      "dd ffffffff 06",
		"streams":      "96 01 80 c0 a1 6d 90 dd ffffffff c0",
		"unknown type": "dd ffffffff 7f",
	}
	for name, in := range bombs {
		record := packed(t, in)
		var m message
		var err error
		if cost := allocated(func() { err = (packProtocol{}).parse(record, &m) }); cost > 64<<10 {
			t.Errorf("%s cost %d bytes", name, cost)
		}
		if err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	for name, tc := range map[string]struct {
		in     string
		refuse bool
	}{
		"length in six bytes":            {"80 80 80 80 80 01", true},
		"length above 2 GiB":             {"ff ff ff ff 08", true},
		"length above the limit, alone":  {"80 80 02", true},
		"length not whole":               {"80 80", false},
		"length of 32766, with its body": {"fe ff 01", true}, // framing counts
		"length of 32765":                {"fd ff 01", false},
	} {
		record, size, err := packProtocol{}.next(packed(t, tc.in), 0, 32768)
		if record != nil || size != 0 && !tc.refuse && err != nil || (err != nil) != tc.refuse {
			t.Errorf("%s: %x %d %v", name, record, size, err)
		}
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// collectPack is collect for MessagePack.
func collectPack(pieces ...[]byte) (shapes []string, left int, err error) {
	var buf []byte
	for _, piece := range pieces {
		buf = append(buf, piece...)
		for {
			record, size, err := packProtocol{}.next(buf, 0, 32768)
			if err != nil {
				return shapes, len(buf), err
			}
			if record == nil {
				break
			}
			var m message
			if err = (packProtocol{}).parse(record, &m); err != nil {
				return shapes, len(buf), err
			}
			shapes = append(shapes, shape(&m))
			buf = buf[size:]
		}
	}
	return shapes, len(buf), nil
}

func severalPacked(t testing.TB) []byte {
	p := packProtocol{}
	long, err := p.appendRequest(nil, "7", "سلام", []any{strings.Repeat("x", 150), map[string]int{"a": -1}})
	if err != nil {
		t.Fatal(err)
	}
	return p.appendClose(append(p.appendPing(nil), long...), "why", true)
}

func TestPackSplit(t *testing.T) {
	t.Attr("checklist", "item90 item91")
	// item91 item90: at every point, and at every two points.
	in := severalPacked(t)
	want, left, err := collectPack(in)
	if err != nil || left != 0 || len(want) != 3 {
		t.Fatal(want, left, err)
	}
	for i := range in {
		for j := i; j <= len(in); j++ {
			got, left, err := collectPack(in[:i], in[i:j], in[j:])
			if err != nil || left != 0 || !reflect.DeepEqual(got, want) {
				t.Fatalf("cut at %d and %d: %v %v", i, j, got, err)
			}
		}
	}
}

type level int

func (l level) MarshalText() ([]byte, error) { return []byte([]string{"low", "high"}[l]), nil }

func (l *level) UnmarshalText(b []byte) error { *l = level(len(b) - 3); return nil }

type inner struct {
	Shared string // in both: neither counts
	Tagged int
	Deep   int
}

type Embedded struct {
	Shared string
	Tagged string `json:"Tagged"` // counts
	Only   bool   `json:"only,omitempty"`
}

type everything struct {
	Name    string            `json:"name"`
	Skipped string            `json:"-"`
	Plain   float32           // under its own name
	Empty   []int             `json:"empty,omitempty"`
	Zero    time.Time         `json:"zero,omitzero"`
	At      time.Time         `json:"at"`
	Bytes   []byte            `json:"bytes"`
	Ints    map[int8]string   `json:"ints"`
	Pairs   map[string]*inner `json:"pairs"`
	Quoted  int64             `json:"quoted,string"`
	Level   level             `json:"level"`
	Levels  map[level]uint16  `json:"levels"`
	Any     any               `json:"any"`
	Nothing *string           `json:"nothing"`
	Raw     json.RawMessage   `json:"raw"`
	Number  json.Number       `json:"number"`
	Big     *big.Int          `json:"big"`
	Addr    netip.Addr        `json:"addr"`
	Array   [2]uint8          `json:"array"`
	Moment  *time.Time        `json:"moment"`
	hidden  int
	inner   // not exported, its fields are
	Embedded
}

func anything() everything {
	at := time.Date(2026, 11, 24, 10, 0, 0, 123_000_000, time.UTC)
	return everything{
		Name: "ن <&>\u2028", Plain: 1.5, At: at, Bytes: []byte{0, 255}, Ints: map[int8]string{-1: "a", 2: "b"},
		Pairs: map[string]*inner{"x": {"s", 1, 3}, "": nil}, Quoted: math.MaxInt64, Level: 1, Levels: map[level]uint16{0: 65535},
		Any: []any{nil, true, -129, 1 << 40, 1e300, "x", map[string]any{}}, Raw: json.RawMessage(`{"a":[1.5,"\u00e9\ud83d\ude00\n"]}`),
		Number: "12", Big: big.NewInt(123456789), Addr: netip.MustParseAddr("::1"), Array: [2]uint8{1, 2}, Moment: &at,
		hidden: 1, inner: inner{"no", 1, 7}, Embedded: Embedded{"no", "yes", true},
	}
}

// item102: values look in MessagePack as in JSON, but for what JSON has not.
func TestPackValues(t *testing.T) {
	for _, v := range []any{
		anything(), &everything{},
		[]everything{{}},
		nil, 0, -1, -32, -33, -128, -129, -32769, math.MinInt64, 127, 128, 255, 256, 65535, 65536, uint64(math.MaxUint64),
		1.5, float32(0.25), "", strings.Repeat("a", 31), strings.Repeat("ب", 16), strings.Repeat("c", 256), strings.Repeat("d", 70000),
		[]string(nil),
		[]string{},
		make([]int, 15), make([]int, 16), make([]bool, 65536), map[string]int(nil),
		map[string]int{"b": 1, "a": 2},
		[]any{[]byte("x"), json.RawMessage(`null`), level(0)},
		struct{}{},
		[0]int{},
		new(any), level(1),
		[]level{0, 1},
		time.Unix(0, 0).UTC(), time.Unix(1<<34, 5).UTC(), time.Unix(-5, 7).UTC(), time.Unix(1<<32, 0).UTC(), true,
		messagesLike{},
	} {
		b, err := appendPack(nil, v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
			continue
		}
		s := packScanner{b: b}
		if err = s.value(0); err != nil || !s.atEnd() {
			t.Errorf("%T gave %x: %v", v, b, err)
			continue
		}
		text, err := appendJSONOfPack(nil, b)
		if err != nil {
			t.Errorf("%T: %v", v, err)
			continue
		}
		want, err := json.Marshal(v)
		if ja, ok := v.(JSONAppender); ok {
			want, err = ja.AppendJSON(nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if !sameJSON(t, text, want) {
			t.Errorf("%T:\ngot  %.2000s\nwant %.2000s", v, text, want)
		}
	}
	for _, v := range []any{make(chan int), func() {}, 1i, map[float64]int{1: 1}, map[string]any{"x": make(chan int)}, []any{1i}, selfish()} {
		if b, err := appendPack(nil, v); err == nil {
			t.Errorf("%T gave %x", v, b)
		}
	}
}

// messagesLike writes itself as JSON only.
type messagesLike struct{}

func (messagesLike) AppendJSON(dst []byte) ([]byte, error) { return append(dst, `[{"seq":7}]`...), nil }

func selfish() any {
	type ring struct{ Next any }
	r := &ring{}
	r.Next = r
	return r
}

func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	for _, d := range []struct {
		text []byte
		v    *any
	}{{a, &x}, {b, &y}} {
		dec := json.NewDecoder(bytes.NewReader(d.text))
		if err := dec.Decode(d.v); err != nil {
			t.Fatalf("%v in %.500s", err, d.text)
		}
	}
	return reflect.DeepEqual(x, y)
}

// item102: what .NET sends as binary and as timestamp stays that.
func TestPackTypes(t *testing.T) {
	for _, tc := range []struct {
		v    any
		want string
	}{
		{[]byte{1, 2}, "c4 02 0102"},
		{[]byte(nil), "c0"},
		{bytes.Repeat([]byte{7}, 256)[:0], "c4 00"},
		{time.Unix(1, 0), "d6 ff 00000001"},
		{time.Unix(1, 1), "d7 ff 0000000400000001"},
		{time.Unix(-1, 1), "c7 0c ff 00000001 ffffffffffffffff"},
		{map[int]int{-1: 2}, "81 ff 02"},
		{struct {
			B []byte    `json:"b"`
			T time.Time `json:"t"`
		}{[]byte{1}, time.Unix(0, 0)}, "82 a1 62 c4 01 01 a1 74 d6 ff 00000000"},
	} {
		if b, err := appendPack(nil, tc.v); err != nil || !bytes.Equal(b, packed(t, tc.want)) {
			t.Errorf("%T gave %x, %v", tc.v, b, err)
		}
	}
}

func TestPackDecode(t *testing.T) {
	p := packProtocol{}
	there := anything()
	there.Any = "x" // as numbers of any kind come back as float64
	b, err := appendPack(nil, there)
	if err != nil {
		t.Fatal(err)
	}
	var back everything
	if err = p.decode(b, &back); err != nil {
		t.Fatal(err)
	}
	again, err := appendPack(nil, back)
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("did not come back: %v\n%+v", err, back)
	}
	type pointer struct{ V any }
	for _, tc := range []struct {
		in   string
		into any
		want any
	}{
		{"2a", new(int), 42},
		{"2a", new(int64), int64(42)},
		{"d0 80", new(int8), int8(-128)},
		{"ca 3fc00000", new(float64), 1.5},
		{"2a", new(float64), 42.0},
		{"cb 4045000000000000", new(int), 42},
		{"a1 78", new(string), "x"},
		{"a1 ff", new(string), "\uFFFD"},
		{"c4 01 78", new([]byte), []byte("x")},
		{"92 a1 78 a1 79", new([]string), []string{"x", "y"}},
		{"d6 ff 00000001", new(time.Time), time.Unix(1, 0).UTC()},
		{"d6 ff 00000001", new(any), time.Unix(1, 0).UTC()},
		{"c4 01 78", new(any), []byte("x")},
		{"cf ffffffffffffffff", new(any), uint64(math.MaxUint64)},
		{"82 a1 61 93 c0 c3 ff 01 cb 3ff8000000000000", new(any), map[string]any{"a": []any{nil, true, int64(-1)}, "1": 1.5}},
		{"81 ff a1 78", new(map[int]string), map[int]string{-1: "x"}},
		{"81 a1 56 c4 01 00", new(pointer), pointer{[]byte{0}}},
		{"a4 68696768", new(level), level(1)},
		{"81 a1 61 01", new(json.RawMessage), json.RawMessage(`{"a":1}`)},
	} {
		if err := p.decode(packed(t, tc.in), tc.into); err != nil {
			t.Errorf("%s into %T: %v", tc.in, tc.into, err)
			continue
		}
		if got := reflect.ValueOf(tc.into).Elem().Interface(); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s into %T: got %#v", tc.in, tc.into, got)
		}
	}
	for _, tc := range []struct {
		in   string
		into any
	}{
		{"a1 78", new(int)},
		{"2a", new(string)},
		{"cf ffffffffffffffff", new(int64)},
		{"cb 7ff8000000000000", new(int)},
		{"91 01", new([]string)},
		{"c7 01 05 00", new(any)},
		{"c7 01 05 00", new(time.Time)},
		{"d7 ff ffffffff00000000", new(time.Time)},
		{"c7 03 ff 000000", new(any)},
		{"81 c0 01", new(any)},
		{"81 90 01", new(map[string]int)},
		{"cb 3ff8000000000000", new(int)},
	} {
		if err := p.decode(packed(t, tc.in), tc.into); err == nil {
			t.Errorf("%s was read into %T", tc.in, tc.into)
		}
	}
}

func TestPackOfJSON(t *testing.T) {
	for _, tc := range []struct{ in, want string }{
		{` {"seq" : 7, "a":[true,false,null] } `, "82 a3 736571 07 a1 61 93 c3 c2 c0"},
		{`-1.5e0`, "cb bff8000000000000"},
		{`1.0`, "cb 3ff0000000000000"},
		{`18446744073709551615`, "cf ffffffffffffffff"},
		{`18446744073709551616`, "cb 43f0000000000000"},
		{`-9223372036854775808`, "d3 8000000000000000"},
		{`"\"\\\/\b\f\n\r\t\u0041\ud83d\ude00\ud83d\u0041\udead"`, "b4 225c2f080c0a0d09 41 f09f9880 efbfbd 41 efbfbd"},
		{`"` + strings.Repeat(`\n`, 31) + `"`, "bf" + strings.Repeat("0a", 31)}, // the head shrinks
		{"[" + strings.Repeat("1,", 15) + "1]", "dc 0010" + strings.Repeat("01", 16)},
	} {
		if b, err := AppendMessagePack(nil, json.RawMessage(tc.in)); err != nil || !bytes.Equal(b, packed(t, tc.want)) {
			t.Errorf("%s gave %x, %v", tc.in, b, err)
		}
	}
	for _, in := range []string{"", " ", "{", `{"a"}`, `{"a":1,}`, "1 2", "[1", `"`, "tru", strings.Repeat("[", 100000)} {
		if b, err := AppendMessagePack([]byte("x"), json.RawMessage(in)); err == nil || string(b) != "x" {
			t.Errorf("%.20s gave %x, %v", in, b, err)
		}
	}
}

// item104 item91
func FuzzPackProtocol(f *testing.F) {
	f.Add(severalPacked(f), 3)
	for _, seed := range []string{
		"96 01 82 a1 78 a1 79 a1 7a a1 7a a3 78797a a6 6d6574686f64 91 2a 91 a1 31", "95 03 80 a3 78797a 01 a5 4572726f72", "92 08 2a",
		"94 02 80 a1 31 c7 0c ff 00000001 ffffffffffffffff", "96 01 80 c0 a1 6d 91 dd ffffffff c0 90", "97 01 80 c0 a1 6d 91 d4 05 00 90 c0",
	} {
		f.Add(framed(packed(f, seed)), 5)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		want, left, err := collectPack(in)
		if cut < 0 || cut > len(in) {
			cut = len(in) / 2
		}
		got, left2, err2 := collectPack(in[:cut], in[cut:])
		if n := min(len(got), len(want)); !reflect.DeepEqual(got[:n], want[:n]) || (err == nil) != (err2 == nil) || err == nil && (left != left2 || len(got) != len(want)) {
			t.Errorf("whole: %v %v, cut at %d: %v %v", want, err, cut, got, err2)
		}
		var m message
		if err := (packProtocol{}).parse(in, &m); err != nil {
			var de *dataError
			if !errors.As(err, &de) {
				t.Errorf("error of type %T", err)
			}
			return
		}
		for _, s := range m.items {
			item := m.arguments[s.from:s.to]
			var v any
			var text string
			_, _, _ = packProtocol{}.decode(item, &v), packProtocol{}.decode(item, &text), packProtocol{}.decode(item, &everything{})
			if text, err := appendJSONOfPack(nil, item); err == nil && !json.Valid(text) {
				t.Errorf("%x became %s", item, text)
			}
		}
	})
}

// FuzzPackOfJSON carries JSON over and back.
func FuzzPackOfJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,-2,3.5,"x\n\ud83d\ude00",null,true]}`, `"\ud800"`, `[[[]],{}]`, `1e400`, `-0`, `0.1`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := AppendMessagePack(nil, in)
		if err != nil {
			return
		}
		s := packScanner{b: b}
		if err = s.value(0); err != nil || !s.atEnd() {
			t.Fatalf("%q became %x: %v", in, b, err)
		}
		text, err := appendJSONOfPack(nil, b)
		if err != nil {
			return // an infinite number
		}
		if valid := bytes.ToValidUTF8(in, []byte("\uFFFD")); bytes.Equal(valid, in) && !sameJSON(t, text, in) {
			t.Errorf("%q became %q", in, text)
		}
	})
}
