package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

const alice = "+967771000001"

// unhurried is for tests that count what comes while nothing is acknowledged: on a slow machine a repeat would come in between.
var unhurried = []string{"--ack-timeout", "10m"}

func TestDelivery_PhoneOnline_ReceiptsReachBusiness(t *testing.T) {
	t.Parallel()
	p := start(t)
	ph := newPhone(p, alice, "a", "none")
	sent := p.send(alice, "hello", "normal")
	ph.await(1)
	if m := ph.got[0]; m.ID != sent.ID || m.Seq != 1 || m.Content != "hello" || m.Attempt != 1 {
		t.Errorf("received %+v", m)
	}
	p.awaitStatus(sent.ID, "sent")
	ph.invoke("AcknowledgeMessage", sent.ID)
	if m := p.get(sent.ID); m.Status != "delivered" {
		t.Errorf("the call completed and the message is %s", m.Status)
	}
	ph.invoke("MarkAsRead", []string{sent.ID})
	if m := p.get(sent.ID); m.Status != "read" || m.DeliveredAt == "" {
		t.Errorf("the call completed and the message is %+v", m)
	}
	var history struct{ Items []struct{ Status string } }
	p.call(http.MethodGet, "/v1/messages/"+sent.ID+"/events", p.secrets.APIKey, nil, &history)
	var steps []string
	for _, e := range history.Items {
		steps = append(steps, e.Status)
	}
	if got := strings.Join(steps, " "); got != "queued sent delivered read" {
		t.Errorf("history: %s", got)
	}
}

func TestDelivery_PhoneReturns_GetsAllInOrder(t *testing.T) {
	t.Parallel()
	p := start(t)
	var want []string
	for i := range 150 {
		m := p.send(alice, fmt.Sprint(i), "normal")
		want = append(want, m.Content)
		if i == 0 {
			p.awaitStatus(m.ID, "pending")
		}
	}
	for i := range want {
		want[i] = fmt.Sprint(i)
	}
	ph := newPhone(p, alice, "a", "each")
	ph.await(150)
	if got := contents(ph.got); !slices.Equal(got, want) {
		t.Errorf("order: %v", got)
	}
	p.awaitStatus(ph.got[149].ID, "delivered")
}

func TestAcknowledgeUpTo_UrgentOvertakes_FollowsPushOrder(t *testing.T) {
	t.Parallel()
	p := start(t, unhurried...)
	var normal []message
	for i := range 70 { // more than a window: the last ones wait
		normal = append(normal, p.send(alice, fmt.Sprint("normal ", i), "normal"))
	}
	ph := newPhone(p, alice, "a", "none")
	ph.await(64)
	urgent := p.send(alice, "urgent", "urgent")
	ph.invoke("AcknowledgeMessage", ph.got[63].ID) // room for one
	ph.await(65)
	if ph.got[64].ID != urgent.ID {
		t.Fatalf("room for one went to %q", ph.got[64].Content)
	}
	ph.invoke("AcknowledgeUpTo", ph.got[9].Seq)
	ph.await(75 - 4) // ten more places, six messages left
	for i, m := range normal {
		if i >= 10 && i != 63 {
			p.awaitStatus(m.ID, "sent") // the phone has it before the store knows that
		} else if got := p.get(m.ID); got.Status != "delivered" {
			t.Errorf("normal %d is %s, want delivered", i, got.Status)
		}
	}
	p.awaitStatus(urgent.ID, "sent") // pushed later, with a higher seq
	// The urgent message has the highest seq and was pushed before the last six: those stay.
	ph.invoke("AcknowledgeUpTo", urgent.Seq)
	for i, m := range normal {
		if i >= 64 {
			p.awaitStatus(m.ID, "sent")
		} else if got := p.get(m.ID); got.Status != "delivered" {
			t.Errorf("after the urgent one: normal %d is %s, want delivered", i, got.Status)
		}
	}
}

func TestWindow_Full_HoldsFurtherMessages(t *testing.T) {
	t.Parallel()
	p := start(t, unhurried...)
	ph := newPhone(p, alice, "a", "none")
	var last message
	for i := range 100 {
		last = p.send(alice, fmt.Sprint(i), "normal")
	}
	ph.await(64)
	if m := p.get(last.ID); m.Status == "sent" {
		t.Error("the last of a hundred was pushed into a window of 64")
	}
	if len(ph.got) > 64 {
		t.Errorf("%d messages unacknowledged", len(ph.got))
	}
	ph.invoke("AcknowledgeMessages", ids(ph.got))
	ph.await(100)
	ph.invoke("AcknowledgeMessages", ids(ph.got[64:]))
	if m := p.get(last.ID); m.Status != "delivered" || ph.got[99].ID != last.ID {
		t.Errorf("last is %s", m.Status)
	}
}

func TestPhone_SocketCut_LosesNothing(t *testing.T) {
	t.Parallel()
	p := start(t)
	first := newPhone(p, alice, "a", "none")
	sent := p.send(alice, "once", "normal")
	first.await(1)
	first.freeze() // the socket stays open and says nothing
	later := p.send(alice, "twice", "normal")
	second := newPhone(p, alice, "a", "each")
	second.await(2)
	if got := contents(second.got); !slices.Equal(got, []string{"once", "twice"}) {
		t.Errorf("the new connection got %v", got)
	}
	p.awaitStatus(sent.ID, "delivered")
	p.awaitStatus(later.ID, "delivered")
	p.awaitMetric("esh3ar_sessions", 1) // the node notices that the first one is silent, though its socket is open
	first.vanish()
}

func TestDelivery_TwoDevices_FirstAcknowledgementSettles(t *testing.T) {
	t.Parallel()
	p := start(t, unhurried...)
	one, two := newPhone(p, alice, "one", "none"), newPhone(p, alice, "two", "none")
	for i := range 100 {
		p.send(alice, fmt.Sprint(i), "normal")
		if i == 0 {
			one.await(1)
			two.await(1)
		}
	}
	one.await(64)
	two.await(64)
	one.invoke("AcknowledgeMessages", ids(one.got[:64]))
	one.await(100)
	two.await(100) // its window was freed by the other device's acknowledgement
	two.invoke("AcknowledgeMessages", ids(two.got))
	for _, m := range two.got {
		if got := p.get(m.ID); got.Status != "delivered" {
			t.Errorf("%s is %s", m.Content, got.Status)
		}
	}
	var page []message
	if err := json.Unmarshal(one.invoke("Sync", 0, 100), &page); err != nil || len(page) != 100 || page[0].Seq != 1 || page[99].Seq != 100 {
		t.Errorf("Sync gave %d messages, %v", len(page), err)
	}
	if got := string(one.invoke("Sync", 100, 100)); got != "[]" {
		t.Errorf("the end of the history is %s", got)
	}
	if _, text := one.try(map[string]any{"command": "invoke", "method": "Sync", "args": []any{0, 101}}); !strings.Contains(text, "invalid_argument") {
		t.Errorf("a limit of 101: %q", text)
	}
}

func TestPhone_NodeKilled_ReconnectsAutomatically(t *testing.T) {
	t.Parallel()
	p := start(t, unhurried...)
	ph := newPhone(p, alice, "a", "none")
	var sent []message
	for i := range 20 {
		sent = append(sent, p.send(alice, fmt.Sprint("before ", i), "normal"))
	}
	ph.await(20)
	ph.invoke("AcknowledgeMessages", ids(ph.got[:5]))
	if err := p.node.Kill(); err != nil {
		t.Fatal(err)
	}
	ph.awaitState("reconnecting")
	p.start()
	ph.awaitState("reconnected")
	ph.await(35) // 15 unacknowledged ones again
	again := ph.got[20:]
	for i, m := range again {
		if m.ID != sent[5+i].ID || m.Seq != 6+i {
			t.Errorf("repeat %d is %+v", i, m)
		}
	}
	after := p.send(alice, "after", "normal")
	ph.await(36)
	ph.invoke("AcknowledgeUpTo", after.Seq)
	for _, m := range append(sent, after) {
		if got := p.get(m.ID); got.Status != "delivered" {
			t.Errorf("%s is %s", m.ID, got.Status)
		}
	}
}

func TestDelivery_AnyText_ArrivesUnchanged(t *testing.T) {
	t.Parallel()
	p := start(t)
	ph := newPhone(p, alice, "a", "each")
	text := "السَّلامُ عليكم 👩🏽‍🚀 e\u0301 \u202eقلب\u202c \"quotes\" \\ \n\t\u2028 <b>&amp;</b> \x7f \U0010FFFF "
	for utf8.RuneCountInString(text) < 4096 {
		text += text
	}
	text = string([]rune(text)[:4096])
	m := p.send(alice, text, "normal")
	ph.await(1)
	if ph.got[0].Content != text {
		t.Error("the phone received another text")
	}
	if got := p.get(m.ID); got.Content != text {
		t.Error("the REST API gives another text")
	}
}
