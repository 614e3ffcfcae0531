package backplane

import (
	"reflect"
	"strings"
	"testing"
)

func TestBatches_EncodeAndDecode_Match(t *testing.T) {
	t.Parallel()
	var letters []frame
	for i, size := range []int{1, batchBytes * 2, 10, batchBytes / 2, batchBytes / 2, 3} {
		letters = append(letters, frame{kind: kindRequest, id: uint64(i) << 40, name: "c", body: []byte(strings.Repeat("x", size))})
	}
	var got []frame
	all := batches("node", letters)
	for _, batch := range all {
		from, some, err := readBatch(batch)
		if err != nil || from != "node" {
			t.Fatal(from, err)
		}
		got = append(got, some...)
	}
	if len(all) != 4 || !reflect.DeepEqual(got, letters) {
		t.Errorf("%d batches, or what came is not what was sent", len(all))
	}
}

// FuzzReadBatch: batches from the transport may be malformed; frames that can be decoded encode to the same bytes.
func FuzzReadBatch(f *testing.F) {
	f.Add("")
	f.Add(batches("n", []frame{{kind: kindRequest, id: 300, name: "c", body: []byte("b")}})[0])
	f.Add("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
	f.Fuzz(func(t *testing.T, batch string) {
		from, letters, err := readBatch(batch)
		if err != nil || len(letters) == 0 {
			return
		}
		b := appendBatchHead(nil, from)
		for i := range letters {
			b = appendFrame(b, &letters[i])
		}
		if again, same, err := readBatch(string(b)); err != nil || again != from || !reflect.DeepEqual(same, letters) {
			t.Errorf("%x became %x", batch, b)
		}
	})
}
