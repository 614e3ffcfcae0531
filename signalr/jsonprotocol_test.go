package signalr

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file of testdata. Record separators stand there as lines' ends.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "json", name+".golden")
	text := strings.ReplaceAll(string(got), "\x1e", "\n")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

func TestJSONWrite(t *testing.T) {
	t.Attr("checklist", "item67 item70 item80")
	p := jsonProtocol{}
	must := func(b []byte, err error) []byte {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	type payload struct {
		Text  string `json:"text"`
		Bytes []byte `json:"bytes"`
		Null  *int   `json:"null"`
	}
	args := []any{
		"مرحبا <&> 👋\u2028",
		payload{"a\x1eb\"\\\n\x01", []byte{0, 1, 255}, nil},
		nil, json.RawMessage(`{"raw": 1}`), 1.5, "bad \xff utf8",
	}
	golden(t, "item80_invocation", must(p.appendInvocation(nil, `Rec"eive`, args)))
	golden(t, "item80_invocation_no_arguments", must(p.appendInvocation(nil, "x", nil)))
	golden(t, "item67_handshake", appendHandshakeReply(nil, ""))
	golden(t, "item70_handshake_error", appendHandshakeReply(nil, "why"))

	same := AppendInvocation(nil, "x", json.RawMessage(`1`), json.RawMessage(`"a"`))
	if got := must(p.appendInvocation(nil, "x", []any{1, "a"})); !bytes.Equal(got, same) {
		t.Errorf("%s is not %s", got, same)
	}
	// What others read must be what was meant.
	var back string
	for _, s := range []string{"", "\x00\x1e\x1f\x7f\"\\/\b\f\n\r\t", "مرحبا", "\u2028", "<&>"} {
		if err := json.Unmarshal(appendJSONString(nil, s), &back); err != nil || back != s {
			t.Errorf("%q became %q, %v", s, back, err)
		}
	}
}

// shape is what a test says about a message.
func shape(m *message) string {
	var items []string
	for _, s := range m.items {
		items = append(items, string(m.arguments[s.from:s.to]))
	}
	return fmt.Sprintf("%d id=%s target=%s args=%s payload=%s streams=%d error=%v:%s again=%v seq=%d", m.kind, m.id, m.target,
		strings.Join(items, "|"), m.payload, len(m.streams), m.hasError, m.errorText, m.allowReconnect, m.sequence)
}

func TestJSONRead(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"item80", `{"type":1,"target":"T","arguments":[1, {"a":[2]} ,"x"]}`, `1 id= target=T args=1|{"a":[2]}|"x" payload= streams=0 error=false: again=false seq=0`},
		{"item77 any order", ` {"arguments" : [ ] , "streamIds":["a","b"], "target":"T","invocationId":"7","type":1 } `, `1 id=7 target=T args= payload= streams=2 error=false: again=false seq=0`},
		{"item78 unknown properties", `{"type":6,"Type":9,"x":{"y":[null,true,false,-1.5e+3]}}`, `6 id= target= args= payload= streams=0 error=false: again=false seq=0`},
		{"escapes", `{"\u0074ype":1,"target":"a\"\u0041","arguments":["\ud83d\ude00"]}`, `1 id= target=a"A args="\ud83d\ude00" payload= streams=0 error=false: again=false seq=0`},
		{"item81", `{"type":2,"invocationId":"1","item":null}`, `2 id=1 target= args= payload=null streams=0 error=false: again=false seq=0`},
		{"item82", `{"type":3,"invocationId":"1","result":[1]}`, `3 id=1 target= args= payload=[1] streams=0 error=false: again=false seq=0`},
		{"item82 error", `{"type":3,"invocationId":"1","error":"e"}`, `3 id=1 target= args= payload= streams=0 error=true:e again=false seq=0`},
		{"item83", `{"type":4,"invocationId":"1","target":"T","arguments":[]}`, `4 id=1 target=T args= payload= streams=0 error=false: again=false seq=0`},
		{"item84", `{"type":5,"invocationId":"1"}`, `5 id=1 target= args= payload= streams=0 error=false: again=false seq=0`},
		{"item86", `{"type":7,"error":"e","allowReconnect":true}`, `7 id= target= args= payload= streams=0 error=true:e again=true seq=0`},
		{"item87", `{"type":8,"sequenceId":9223372036854775807}`, `8 id= target= args= payload= streams=0 error=false: again=false seq=9223372036854775807`},
		{"item88", `{"type":1,"headers":{"a":"b"},"target":"T","arguments":[]}`, `1 id= target=T args= payload= streams=0 error=false: again=false seq=0`},
		{"item79 unknown type", `{"type":4711}`, `4711 id= target= args= payload= streams=0 error=false: again=false seq=0`},
		{"item89 depth 64", `{"type":1,"target":"T","arguments":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var m message
			if err := (jsonProtocol{}).parse([]byte(tc.in), &m); err != nil {
				t.Fatal(err)
			}
			if got := shape(&m); tc.want != "" && got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
	for _, in := range []string{
		``, `[]`, `null`, `1`, `{`, `{}`, `{"type":}`, `{"type":"1"}`, `{"type":1.5}`, `{"type":null}`, `{"type":99999999999999999999}`,
		`{"type":6}x`, `{"type":6}{}`, `{"type":6,}`, `{"type":6 "x":1}`, `{type:6}`, `{"type":6,"x":01}`, `{"type":6,"x":1.}`,
		`{"type":6,"x":-}`, `{"type":6,"x":1e}`, `{"type":6,"x":+1}`, `{"type":6,"x":tru}`, `{"type":6,"x":nul}`, `{"type":6,"x":NaN}`,
		`{"type":6,"x":"` + "\n" + `"}`, `{"type":6,"x":"\x"}`, `{"type":6,"x":"\u12G4"}`, `{"type":6,"x":"`, `{"type":6,"x":"\`, `{"type":6,"x":"\u12`,
		`{"type":6,"x":[1,]}`, `{"type":6,"x":[1 2]}`, `{"type":6,"x":{"a"}}`, `{"type":6/*c*/}`, "{\"type\":6,\"x\":\"\xff\"}",
		`{"type":1,"arguments":[]}`, `{"type":1,"target":"T"}`, `{"type":1,"target":null,"arguments":[]}`, `{"type":1,"target":7,"arguments":[]}`,
		`{"type":1,"target":"T","arguments":{}}`, `{"type":1,"target":"T","arguments":null}`, `{"type":1,"invocationId":1,"target":"T","arguments":[]}`,
		`{"type":1,"target":"T","arguments":[],"streamIds":[1]}`, `{"type":1,"target":"T","arguments":[],"streamIds":1}`,
		`{"type":1,"headers":{"a":1},"target":"T","arguments":[]}`, `{"type":1,"headers":[],"target":"T","arguments":[]}`,
		`{"type":4,"target":"T","arguments":[]}`, `{"type":2,"invocationId":"1"}`, `{"type":2,"item":1}`, `{"type":3}`, `{"type":3,"invocationId":""}`,
		`{"type":3,"invocationId":"1","result":1,"error":"e"}`, `{"type":5}`, `{"type":8}`, `{"type":9}`, `{"type":8,"sequenceId":"1"}`,
		`{"type":7,"error":1}`, `{"type":1,"target":"T","arguments":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`,
		strings.Repeat(`{"a":`, 100000), strings.Repeat("[", 100000),
	} {
		var m message
		if err := (jsonProtocol{}).parse([]byte(in), &m); err == nil {
			t.Errorf("accepted %.100s", in)
		}
	}
}

// collect feeds pieces to the protocol's framing and parser and returns the shapes of the messages.
func collect(pieces ...[]byte) (shapes []string, left int, err error) {
	var buf []byte
	scanned := 0
	for _, piece := range pieces {
		buf = append(buf, piece...)
		for {
			record, size, err := jsonProtocol{}.next(buf, scanned, 32768)
			if err != nil {
				return shapes, len(buf), err
			}
			if record == nil {
				scanned = len(buf)
				break
			}
			var m message
			if err = (jsonProtocol{}).parse(record, &m); err != nil {
				return shapes, len(buf), err
			}
			shapes = append(shapes, shape(&m))
			buf, scanned = buf[size:], 0
		}
	}
	return shapes, len(buf), nil
}

const severalMessages = `{"type":6}` + "\x1e" + `{"type":1,"target":"سلام","arguments":[{"a":"\u001e"},"b"],"invocationId":"1"}` + "\x1e" + `{"type":7}` + "\x1e"

func TestJSONSplit(t *testing.T) {
	t.Attr("checklist", "item90")
	// item90: at every point, and at every two points.
	in := []byte(severalMessages)
	want, left, err := collect(in)
	if err != nil || left != 0 || len(want) != 3 {
		t.Fatal(want, left, err)
	}
	for i := range in {
		for j := i; j <= len(in); j++ {
			got, left, err := collect(in[:i], in[i:j], in[j:])
			if err != nil || left != 0 || !reflect.DeepEqual(got, want) {
				t.Fatalf("cut at %d and %d: %v %v", i, j, got, err)
			}
		}
	}
}

func FuzzJSONProtocol(f *testing.F) {
	for _, seed := range []string{
		severalMessages, `{"type":1,"headers":{"a":"b"},"target":"T","arguments":[1,{"x":[true,null]}],"streamIds":["1"]}` + "\x1e",
		`{"type":3,"invocationId":"1","error":"e"}` + "\x1e", `{"type":8,"sequenceId":-1}` + "\x1e", "\x1e", `{"type":2,"invocationId":"\ud800","item":1e9}` + "\x1e",
	} {
		f.Add([]byte(seed), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		want, left, err := collect(in)
		if cut < 0 || cut > len(in) {
			cut = len(in) / 2
		}
		got, left2, err2 := collect(in[:cut], in[cut:])
		// A cut may only show an error later or sooner, never other messages.
		if n := min(len(got), len(want)); !reflect.DeepEqual(got[:n], want[:n]) || (err == nil) != (err2 == nil) || err == nil && (left != left2 || len(got) != len(want)) {
			t.Errorf("whole: %v %v, cut at %d: %v %v", want, err, cut, got, err2)
		}
		for record := range bytes.SplitSeq(in, []byte{recordSeparator}) {
			var m message
			if err := (jsonProtocol{}).parse(record, &m); err != nil {
				var de *dataError
				if !errors.As(err, &de) {
					t.Errorf("error of type %T", err)
				}
				continue
			}
			// What is accepted is JSON to others too, unless it is one of the doubtful cases they treat alike.
			if !json.Valid(record) {
				t.Errorf("accepted %q, which is no JSON", record)
			}
			for _, s := range m.items {
				if !json.Valid(m.arguments[s.from:s.to]) {
					t.Errorf("argument %q", m.arguments[s.from:s.to])
				}
			}
		}
	})
}

func FuzzHandshake(f *testing.F) {
	for _, seed := range []string{`{"protocol":"json","version":1}`, `{"version":2,"protocol":"messagepack","x":[]}`, `{}`, ``, `{"protocol":"\u006a","version":-0}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := parseHandshake(in)
		if err == nil && !json.Valid(in) {
			t.Errorf("accepted %q as %+v", in, h)
		}
	})
}
