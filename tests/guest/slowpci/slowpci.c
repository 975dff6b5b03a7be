// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A driver as slow as the ones of real life: it binds QEMU's `edu` device and sleeps in probe and in remove, as GPU,
 * NVMe and network drivers do while their firmware shuts down. It never touches the device.
 *
 * Everything is set at run time in /sys/module/slowpci/parameters:
 *   probe_ms, remove_ms  how long probe and remove sleep, in D state as most drivers' waits are; lowered meanwhile, a
 *                        sleep ends, so a case can hold a driver up until it has seen what it wants to see
 *   fail_probe           an errno: probe sleeps and then fails with it
 *   late_ms              bind this long after the device appeared, as a driver does whose module udev has yet to load
 *
 * `slowpci_other` is a second driver for the same device. It has no id of its own and binds by driver_override only, to
 * stand for a device that comes back with another driver than it had.
 *
 * The kernel log gets a line at the begin and the end of each sleep, which shows what ran at the same time as what.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt
#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

static unsigned int probe_ms;
module_param(probe_ms, uint, 0644);
static unsigned int remove_ms;
module_param(remove_ms, uint, 0644);
static unsigned int fail_probe;
module_param(fail_probe, uint, 0644);
static unsigned int late_ms;
module_param(late_ms, uint, 0644);

struct late_binding {
	struct delayed_work work;
	struct pci_dev *pdev;
};

static struct workqueue_struct *late_queue;
/* The device that bind_late() is binding right now; the queue runs one work at a time. */
static struct pci_dev *binding_late;

static void nap(struct pci_dev *pdev, const char *what, const unsigned int *ms)
{
	unsigned long start = jiffies;

	pci_info(pdev, "%s begin\n", what);
	while (time_before(jiffies, start + msecs_to_jiffies(READ_ONCE(*ms))))
		msleep(10);
	pci_info(pdev, "%s end\n", what);
}

static void bind_late(struct work_struct *work)
{
	struct late_binding *late = container_of(to_delayed_work(work), struct late_binding, work);

	WRITE_ONCE(binding_late, late->pdev);
	if (device_is_registered(&late->pdev->dev) && device_attach(&late->pdev->dev) < 0)
		pci_info(late->pdev, "late binding failed\n");
	WRITE_ONCE(binding_late, NULL);
	pci_dev_put(late->pdev);
	kfree(late);
}

static int put_off(struct pci_dev *pdev)
{
	struct late_binding *late = kzalloc(sizeof(*late), GFP_KERNEL);

	if (!late)
		return -ENOMEM;
	late->pdev = pci_dev_get(pdev);
	INIT_DELAYED_WORK(&late->work, bind_late);
	queue_delayed_work(late_queue, &late->work, msecs_to_jiffies(late_ms));
	return -ENODEV;
}

static int slow_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int err;

	if (late_ms && READ_ONCE(binding_late) != pdev)
		return put_off(pdev);
	nap(pdev, "probe", &probe_ms);
	if (fail_probe)
		return -(int)fail_probe;
	err = pci_enable_device(pdev);
	if (err)
		return err;
	pci_set_master(pdev);
	return 0;
}

static void slow_remove(struct pci_dev *pdev)
{
	nap(pdev, "remove", &remove_ms);
	pci_disable_device(pdev);
}

static const struct pci_device_id slow_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{}
};
MODULE_DEVICE_TABLE(pci, slow_ids);

static struct pci_driver slow_driver = {
	.name = "slowpci",
	.id_table = slow_ids,
	.probe = slow_probe,
	.remove = slow_remove,
};

static struct pci_driver other_driver = {
	.name = "slowpci_other",
	.probe = slow_probe,
	.remove = slow_remove,
};

static int __init slow_init(void)
{
	int err;

	late_queue = alloc_ordered_workqueue("slowpci_late", 0);
	if (!late_queue)
		return -ENOMEM;
	err = pci_register_driver(&slow_driver);
	if (err)
		goto no_driver;
	err = pci_register_driver(&other_driver);
	if (err)
		goto no_other;
	return 0;

no_other:
	pci_unregister_driver(&slow_driver);
no_driver:
	destroy_workqueue(late_queue);
	return err;
}
module_init(slow_init);

/* No exit: the guest never unloads it, and a queued late binding could outlive it. */

MODULE_DESCRIPTION("Slow stand-in for a PCI driver, for pcictl's guest tests");
MODULE_LICENSE("Dual MIT/GPL");
