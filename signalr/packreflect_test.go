package signalr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Leaf and tree have fields of every kind that a protocol can carry.
type Leaf struct {
	Name  string         `json:"name"`
	Data  []byte         `json:"data"`
	At    time.Time      `json:"at"`
	Loose any            `json:"loose"`
	Bag   map[string]any `json:"bag"`
}

type tree struct {
	Leaf
	Bool    bool              `json:"bool"`
	Int     int64             `json:"int"`
	Small   int8              `json:"small"`
	Uint    uint64            `json:"uint"`
	Float   float64           `json:"float"`
	Single  float32           `json:"single"`
	Pointer *Leaf             `json:"pointer"`
	List    []Leaf            `json:"list"`
	Anys    []any             `json:"anys"`
	Array   [2]string         `json:"array"`
	ByName  map[string]int64  `json:"byName"`
	ByCount map[uint16][]byte `json:"byCount"`
	Quoted  int64             `json:"quoted,string"`
	Number  json.Number       `json:"number"`
	Raw     json.RawMessage   `json:"raw"`
}

// anyValue draws a value as MessagePack has it behind an any.
func anyValue(depth int) *rapid.Generator[any] {
	kinds := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Int64().AsAny(), rapid.Uint64Min(1 << 63).AsAny(), rapid.Float64().AsAny(),
		rapid.SampledFrom([]any{math.Inf(1), math.Inf(-1), 0.5, math.Copysign(0, -1), []byte{}, []any{}, map[string]any{}, ""}),
		rapid.String().AsAny(), rapid.SliceOf(rapid.Byte()).AsAny(), moment().AsAny(),
	}
	if depth > 0 {
		kinds = append(kinds, rapid.SliceOfN(anyValue(depth-1), 0, 4).AsAny(), rapid.MapOfN(rapid.String(), anyValue(depth-1), 0, 4).AsAny())
	}
	return rapid.OneOf(kinds...)
}

func moment() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-62135596800, 253402300799).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC()
	})
}

func drawLeaf(loose func() any) *rapid.Generator[Leaf] {
	return rapid.Custom(func(t *rapid.T) Leaf {
		in := Leaf{Name: rapid.String().Draw(t, "name"), Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"), At: moment().Draw(t, "at")}
		if loose == nil {
			in.Loose = anyValue(3).Draw(t, "loose")
			in.Bag = rapid.MapOfN(rapid.String(), anyValue(2), 0, 4).Draw(t, "bag")
			return in
		}
		in.Loose, in.Bag = loose(), map[string]any{"a": loose()}
		return in
	})
}

func drawTree(t *rapid.T, loose func() any) tree {
	in := drawLeaf(loose)
	e := tree{
		Leaf: in.Draw(t, "embedded"), Bool: rapid.Bool().Draw(t, "bool"), Int: rapid.Int64().Draw(t, "int"), Small: rapid.Int8().Draw(t, "small"),
		Uint: rapid.Uint64().Draw(t, "uint"), Float: rapid.Float64().Draw(t, "float"), Single: rapid.Float32().Draw(t, "single"),
		List: rapid.SliceOfN(in, 0, 3).Draw(t, "list"), Array: [2]string{rapid.String().Draw(t, "a"), "b"},
		ByName:  rapid.MapOfN(rapid.String(), rapid.Int64(), 0, 3).Draw(t, "byName"),
		ByCount: rapid.MapOfN(rapid.Uint16(), rapid.SliceOf(rapid.Byte()), 0, 3).Draw(t, "byCount"),
		Quoted:  rapid.Int64().Draw(t, "quoted"), Number: json.Number(fmt.Sprint(rapid.Int64().Draw(t, "number"))), Raw: json.RawMessage(`{"x":[1,"y"]}`),
	}
	if rapid.Bool().Draw(t, "pointer") {
		p := in.Draw(t, "pointed")
		e.Pointer = &p
	}
	if loose == nil {
		e.Anys = rapid.SliceOfN(anyValue(2), 0, 4).Draw(t, "anys")
	} else {
		e.Anys = []any{loose(), loose()}
	}
	return e
}

// roundTrip encodes a value as a protocol does and decodes it into a new one.
func roundTrip[T any](t *rapid.T, p protocol, v T) (got T) {
	var data []byte
	var err error
	switch p := p.(type) {
	case packProtocol:
		data, err = appendPack(nil, v)
		if err == nil {
			s := packScanner{b: data}
			if err := s.value(0); err != nil || !s.atEnd() {
				t.Fatalf("%s: not one value: %v", p.name(), err)
			}
		}
	default:
		data, err = appendJSON(nil, v)
	}
	if err != nil {
		t.Fatalf("%s: encode %#v: %v", p.name(), v, err)
	}
	if err := p.decode(data, &got); err != nil {
		t.Fatalf("%s: decode %#v: %v", p.name(), v, err)
	}
	return got
}

func TestMessagePack_EveryValue_RoundTrips(t *testing.T) {
	t.Parallel()
	t.Run("typed", rapid.MakeCheck(func(t *rapid.T) {
		want := drawTree(t, nil)
		if got := roundTrip(t, packProtocol{}, want); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v\nwant %#v", got, want)
		}
	}))
	t.Run("untyped", rapid.MakeCheck(func(t *rapid.T) {
		want := anyValue(4).Draw(t, "value")
		if got := roundTrip(t, packProtocol{}, want); !reflect.DeepEqual(got, want) {
			t.Fatalf("any: got %#v\nwant %#v", got, want)
		}
		list := []any{want, want}
		if got := roundTrip(t, packProtocol{}, list); !reflect.DeepEqual(got, list) {
			t.Fatalf("[]any: got %#v\nwant %#v", got, list)
		}
		bag := map[string]any{"a": want, "b": []any{want}}
		if got := roundTrip(t, packProtocol{}, bag); !reflect.DeepEqual(got, bag) {
			t.Fatalf("map: got %#v\nwant %#v", got, bag)
		}
	}))
}

// TestJSON_EveryValue_RoundTrips has behind an any what JSON has: no bytes, no times, and float64 for numbers.
func TestJSON_EveryValue_RoundTrips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		loose := func() any {
			return rapid.OneOf(rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Float64().AsAny(), rapid.String().AsAny(),
				rapid.SliceOfN(rapid.String().AsAny(), 0, 3).AsAny(), rapid.MapOfN(rapid.String(), rapid.Bool().AsAny(), 0, 3).AsAny()).Draw(t, "loose")
		}
		want := drawTree(t, loose)
		if got := roundTrip(t, jsonProtocol{}, want); !reflect.DeepEqual(got, want) {
			t.Fatalf("got %#v\nwant %#v", got, want)
		}
	})
}

// TestMessagePack_SameTargets_AsEncodingJSON: what fits into which type, and what null, missing and unknown fields do.
func TestMessagePack_SameTargets_AsEncodingJSON(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`null`, `true`, `0`, `-1`, `255`, `256`, `1.5`, `18446744073709551615`, `"a"`, `"AQID"`, `"2030-01-01T00:00:00Z"`, `[]`, `[1,2,3]`, `["a"]`, `[null]`,
		`{}`, `{"a":1}`, `{"1":2}`, `{"NAME":"x","Data":"AQID","loose":"y","other":[{}]}`, `{"name":null,"data":null,"bag":{"a":"b"}}`, `{"pointer":{"name":"n"}}`,
		`{"quoted":"17","number":5,"raw":{"a":[1]},"list":[{"name":"a"},null]}`, `{"quoted":17}`, `{"array":["a","b","c"]}`, `{"array":["a"]}`,
	} {
		for _, target := range []any{
			new(bool), new(int), new(int8), new(uint8), new(uint64), new(float32), new(float64), new(string), new([]byte), new([]int), new([]string), new([2]int),
			new(time.Time), new(*time.Time), new(Leaf), new(*Leaf), new(tree), new(map[string]int), new(map[int]int), new(map[string]*Leaf),
			new(json.Number), new(json.RawMessage), new([]Leaf), new(**string), new(fmt.Stringer), new([]*int),
		} {
			pack, err := AppendMessagePack(nil, json.RawMessage(text))
			if err != nil {
				t.Fatal(err)
			}
			got, want := reflect.New(reflect.TypeOf(target).Elem()), reflect.New(reflect.TypeOf(target).Elem())
			gotErr, wantErr := (packProtocol{}).decode(pack, got.Interface()), json.Unmarshal([]byte(text), want.Interface())
			if (gotErr == nil) != (wantErr == nil) {
				t.Errorf("%s into %T: %v, encoding/json: %v", text, target, gotErr, wantErr)
			} else if gotErr == nil && !reflect.DeepEqual(got.Interface(), want.Interface()) && !loosely(got.Interface(), want.Interface()) {
				t.Errorf("%s into %T: %#v, encoding/json: %#v", text, target, got.Elem(), want.Elem())
			}
		}
	}
}

// loosely compares by what both write: behind an any the protocols have other types of numbers.
func loosely(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

func TestMessagePack_NotFinite_IsTaken(t *testing.T) {
	t.Parallel()
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		data := appendPackFloat(nil, f)
		var double float64
		var single float32
		var loose any
		bag := struct{ Value *float64 }{}
		err := errors.Join((packProtocol{}).decode(data, &double), (packProtocol{}).decode(data, &single), (packProtocol{}).decode(data, &loose),
			(packProtocol{}).decode(append(appendPackString(appendPackMap(nil, 1), "value"), data...), &bag))
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []float64{double, float64(single), loose.(float64), *bag.Value} {
			if math.Float64bits(got) != math.Float64bits(f) && !(math.IsNaN(got) && math.IsNaN(f)) {
				t.Errorf("got %v, want %v", got, f)
			}
		}
		var whole int
		if err := (packProtocol{}).decode(data, &whole); err == nil {
			t.Errorf("%v was stored in an int as %d", f, whole)
		}
	}
}

func TestMessagePack_EmptyBytes_AreNotNil(t *testing.T) {
	t.Parallel()
	var b []byte
	var own struct{ Data []byte }
	if err := (packProtocol{}).decode(appendPackBinary(nil, nil), &b); err != nil || b == nil {
		t.Errorf("got %#v, %v, want an empty slice", b, err)
	}
	if err := (packProtocol{}).decode(append(appendPackString(appendPackMap(nil, 1), "Data"), appendPackBinary(nil, nil)...), &own); err != nil || own.Data == nil {
		t.Errorf("got %#v, %v, want an empty slice", own.Data, err)
	}
}
