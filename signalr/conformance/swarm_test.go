package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The small clients live in a process of their own, for their files and so that what the server's process holds is the
// server's: this test binary, started again with swarmEnv set to "address count".
const swarmEnv = "SIGNALR_CONFORMANCE_SWARM"

// swarm is many small clients that come back when they are told that they may.
type swarm struct {
	addr    string
	members []*member
	web     *http.Client
}

// member is one of them: WebSockets, JSON, one goroutine.
type member struct {
	swarm *swarm
	nc    net.Conn
	r     *bufio.Reader
}

// runSwarm is the child's main: it says "ready" when all are connected and "back" when all are again. It ends with its
// standard input.
func runSwarm(arg string) {
	addr, count, _ := strings.Cut(arg, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		panic(err)
	}
	s := &swarm{addr: addr, web: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64}}}
	for range n {
		s.members = append(s.members, &member{swarm: s})
	}
	s.each((*member).connect)
	fmt.Println("ready")
	s.each((*member).comeBack)
	fmt.Println("back")
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// each runs f for all members and ends the process when one fails, whose error is then what the test gets to see.
func (s *swarm) each(f func(*member) error) {
	var all sync.WaitGroup
	for _, m := range s.members {
		all.Go(func() {
			if err := f(m); err != nil {
				fmt.Println("failed:", err)
				os.Exit(1)
			}
		})
	}
	all.Wait()
}

// comeBack waits for the Close that allows it and connects again, however often that needs trying.
func (m *member) comeBack() error {
	message, err := m.read()
	if err != nil || message != `{"type":7,"allowReconnect":true}` {
		return fmt.Errorf("in place of a Close came %q, %w", message, err)
	}
	_ = m.nc.Close() // the server's close frame waits for ours no longer
	deadline := time.Now().Add(patience)
	for {
		time.Sleep(rand.N(200 * time.Millisecond)) // as every client's retry policy has it
		if err = m.connect(); err == nil {
			return m.echo()
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// connect negotiates, upgrades and shakes hands.
func (m *member) connect() error {
	resp, err := m.swarm.web.Post("http://"+m.swarm.addr+"/hub/negotiate?negotiateVersion=1", "text/plain", http.NoBody)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("negotiate: %d, %w", resp.StatusCode, err)
	}
	var reply struct{ ConnectionToken string }
	if err = json.Unmarshal(body, &reply); err != nil {
		return err
	}
	if m.nc, err = net.Dial("tcp", m.swarm.addr); err != nil {
		return err
	}
	if err = m.shake(reply.ConnectionToken); err != nil {
		_ = m.nc.Close() // the other error is the one that counts
	}
	return err
}

func (m *member) shake(token string) error {
	_, err := io.WriteString(m.nc, "GET /hub?id="+token+" HTTP/1.1\r\nHost: "+m.swarm.addr+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if err != nil {
		return err
	}
	m.r = bufio.NewReaderSize(m.nc, 512)
	resp, err := http.ReadResponse(m.r, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return errors.New(resp.Status)
	}
	if err = m.write(`{"protocol":"json","version":1}` + "\x1e" + `{"type":6}`); err != nil {
		return err
	}
	message, err := m.read()
	if err == nil && message != "{}" {
		err = fmt.Errorf("handshake: %s", message)
	}
	return err
}

func (m *member) echo() error {
	if err := m.write(`{"type":1,"invocationId":"1","target":"Echo","arguments":["here again"]}`); err != nil {
		return err
	}
	message, err := m.read()
	if err == nil && message != `{"type":3,"invocationId":"1","result":"here again"}` {
		err = fmt.Errorf("echo: %s", message)
	}
	return err
}

// write sends messages of less than 126 bytes in all, masked by zeros.
func (m *member) write(messages string) error {
	frame := append([]byte{0x81, 0x80 | byte(len(messages)+1), 0, 0, 0, 0}, messages...)
	_, err := m.nc.Write(append(frame, 0x1e))
	return err
}

// read returns the next short hub message that is no ping.
func (m *member) read() (string, error) {
	for {
		var head [2]byte
		if _, err := io.ReadFull(m.r, head[:]); err != nil {
			return "", err
		}
		payload := make([]byte, head[1])
		if _, err := io.ReadFull(m.r, payload); err != nil {
			return "", err
		}
		if message := string(bytes.TrimSuffix(payload, []byte{0x1e})); message != `{"type":6}` {
			return message, nil
		}
	}
}

// command is a program that prints what happens to its clients and ends with its standard input.
type command struct {
	lines <-chan string
	end   func() error
}

// says waits for a line.
func (c *command) says(ctx context.Context, want string) error {
	select {
	case line := <-c.lines:
		if line != want {
			return fmt.Errorf("%q came in place of %q", line, want)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waited in vain for %q", want)
	}
}
