package main

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/esh3artech/esh3ar/internal/duration"
)

// flagValues are the parsers of durations and numbers. Kong's own parsers of numbers name types of Go in their errors.
func flagValues() []kong.Option {
	options := []kong.Option{kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(decodeDuration))}
	for _, kind := range []reflect.Kind{reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint32, reflect.Uint64} {
		options = append(options, kong.KindMapper(kind, kong.MapperFunc(decodeInteger)))
	}
	return append(options, kong.KindMapper(reflect.Float64, kong.MapperFunc(decodeNumber)))
}

// valueText takes the value of a flag from the command line, a variable or the configuration file. A value may begin with a hyphen, so
// that a negative number is rejected as such.
func valueText(ctx *kong.DecodeContext) (string, error) {
	token := ctx.Scan.Pop()
	if token.IsEOL() || token.Type == kong.FlagToken {
		return "", errors.New("a value is missing")
	}
	if number, ok := token.Value.(float64); ok { // from the configuration file
		return strconv.FormatFloat(number, 'f', -1, 64), nil
	}
	return fmt.Sprint(token.Value), nil
}

// decodeDuration parses a duration, which may have days and weeks.
func decodeDuration(ctx *kong.DecodeContext, target reflect.Value) error {
	text, err := valueText(ctx)
	if err != nil {
		return err
	}
	d, err := duration.Parse(text)
	if err == nil {
		target.SetInt(int64(d))
	}
	return err
}

// decodeInteger parses a whole decimal number.
func decodeInteger(ctx *kong.DecodeContext, target reflect.Value) error {
	text, err := valueText(ctx)
	if err != nil {
		return err
	}
	if target.CanUint() {
		n, err := strconv.ParseUint(text, 10, target.Type().Bits())
		if err != nil {
			return integerError(text, err, 0, math.MaxUint64>>(64-target.Type().Bits()))
		}
		target.SetUint(n)
		return nil
	}
	n, err := strconv.ParseInt(text, 10, target.Type().Bits())
	if err != nil {
		largest := uint64(math.MaxInt64) >> (64 - target.Type().Bits())
		return integerError(text, err, -int64(largest)-1, largest)
	}
	target.SetInt(n)
	return nil
}

func integerError(text string, err error, least int64, most uint64) error {
	if errors.Is(err, strconv.ErrRange) || least == 0 && strings.HasPrefix(text, "-") {
		return fmt.Errorf("%q is not a number from %d to %d", text, least, most)
	}
	return fmt.Errorf("%q is not a whole number; write digits only, such as 1000", text)
}

// decodeNumber parses a decimal number, which may have a fraction.
func decodeNumber(ctx *kong.DecodeContext, target reflect.Value) error {
	text, err := valueText(ctx)
	if err != nil {
		return err
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
		return fmt.Errorf("%q is not a number; write it as 0.5 or 20", text)
	}
	target.SetFloat(n)
	return nil
}

// plainParseError replaces kong's text for a missing argument, which does not say that it is one.
func plainParseError(err error) error {
	var parse *kong.ParseError
	missing, ok := strings.CutPrefix(err.Error(), `expected "<`)
	if !ok || !errors.As(err, &parse) {
		return err
	}
	name, _, _ := strings.Cut(missing, ">")
	command := "esh3ar"
	if selected := parse.Context.Selected(); selected != nil {
		command = selected.FullPath()
	}
	return fmt.Errorf("the argument <%s> is missing; see `%s --help`", name, command)
}
