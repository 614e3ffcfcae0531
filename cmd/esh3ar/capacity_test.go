package main

import "testing"

func TestSizes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]size{
		"0": 0, "17": 17, "17B": 17, "512MiB": 512 << 20, "2Gi": 2 << 30, "1KiB": 1 << 10, "3TiB": 3 << 40,
		"": -1, "B": -1, "-1": -1, "1.5GiB": -1, "512MB": -1, "9999999TiB": -1, "MiB": -1,
	} {
		var got size
		err := got.UnmarshalText([]byte(text))
		if (err == nil) != (want >= 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}
