package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// diskMetrics collects the damage, and the free space of the data directory's volume as measured within the last second.
type diskMetrics struct {
	space  func() diskguard.Space
	damage func() *diskguard.Damage
}

var (
	diskFree    = prometheus.NewDesc("esh3ar_disk_free_bytes", "Free space on the volume of the data directory.", nil, nil)
	diskSize    = prometheus.NewDesc("esh3ar_disk_size_bytes", "Size of the volume of the data directory.", nil, nil)
	diskReserve = prometheus.NewDesc("esh3ar_disk_reserve_bytes", "Free space below which no new message is taken (--disk-reserve).", nil, nil)
	diskDamage  = prometheus.NewDesc("esh3ar_disk_damaged_places", "Places of the data directory that were found damaged since the start; the node is not ready while there is one.", nil, nil)
	diskFull    = prometheus.NewDesc("esh3ar_disk_reserve_reached", "1 while new messages are refused because the disk is nearly full, else 0.", nil, nil)
)

// Describe implements prometheus.Collector.
func (m diskMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, one := range []*prometheus.Desc{diskFree, diskSize, diskReserve, diskFull, diskDamage} {
		descriptions <- one
	}
}

// Collect implements prometheus.Collector. A volume that cannot report its space has no samples.
func (m diskMetrics) Collect(metrics chan<- prometheus.Metric) {
	metrics <- prometheus.MustNewConstMetric(diskDamage, prometheus.GaugeValue, float64(m.damage().Places()))
	space := m.space()
	if !space.Known {
		return
	}
	full := 0.0
	if space.Full {
		full = 1
	}
	for desc, value := range map[*prometheus.Desc]float64{
		diskFree: float64(space.Free), diskSize: float64(space.Total), diskReserve: float64(space.Reserve), diskFull: full,
	} {
		metrics <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value)
	}
}
