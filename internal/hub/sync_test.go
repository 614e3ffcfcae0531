package hub

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar"
)

func TestMessages_AppendJSON_BoundsBytes(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		sizes []int // bytes of content
		want  int   // messages in the result
	}{
		"none":               {nil, 0},
		"small":              {[]int{10, 10, 10}, 3},
		"one beyond":         {[]int{2 * syncBytes}, 1},
		"first beyond":       {[]int{2 * syncBytes, 10}, 1},
		"last beyond":        {[]int{10, 10, 2 * syncBytes}, 2},
		"middle beyond":      {[]int{10, syncBytes, 10}, 1},
		"just over together": {[]int{syncBytes / 2, syncBytes / 2}, 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records := make(messages, len(c.sizes))
			for i, size := range c.sizes {
				records[i].Seq = esh3ar.Seq(i + 1)
				records[i].Content = strings.Repeat("x", size)
			}
			const prefix = "before"
			dst, err := records.AppendJSON([]byte(prefix))
			if err != nil {
				t.Fatal(err)
			}
			result := dst[len(prefix):]
			var got []struct{ Seq int }
			if err := json.Unmarshal(result, &got); err != nil {
				t.Fatal(err)
			}
			if len(got) != c.want {
				t.Errorf("messages: got %d, want %d", len(got), c.want)
			}
			for i, m := range got {
				if m.Seq != i+1 {
					t.Errorf("message %d: got seq %d, want %d", i, m.Seq, i+1)
				}
			}
			if len(result) > syncBytes && len(got) > 1 {
				t.Errorf("bytes: got %d, want at most %d", len(result), syncBytes)
			}
		})
	}
}
