package signalr

import (
	"bytes"
	"strings"
	"testing"
)

func TestReplay(t *testing.T) {
	t.Attr("checklist", "item153")
	r := replay{first: 1}
	var want []string
	most := 0
	for i := range 5000 {
		m := strings.Repeat(string(rune('a'+i%26)), 1+i*7%50) + "\x1e"
		r.add(jsonProtocol{}, []byte(m))
		want = append(want, m)
		if len(want) > 40 {
			want = want[11:]
			if !r.forget(r.first+10) || r.forget(r.first-1) {
				t.Fatal("forgot others")
			}
		}
		if got := strings.Join(want, ""); string(r.bytes()) != got || r.size() != len(got) || len(r.sizes) != len(want) {
			t.Fatalf("step %d: %q", i, r.bytes())
		}
		most = max(most, cap(r.buf))
	}
	if most > 8<<10 {
		t.Errorf("%d bytes for what takes less than 2 KiB", most)
	}
	if r.forget(1 << 60); r.first != 5001 || r.size() != 0 || r.buf != nil {
		t.Errorf("%+v", r)
	}
	r.add(jsonProtocol{}, []byte("no whole message"))
	if r.forget(5001); r.first != 5002 || !bytes.Equal(r.bytes(), nil) {
		t.Errorf("%+v", r)
	}
}
