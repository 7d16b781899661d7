"""Devices by name: memory, clock and accelerator, with the page where their makers state them."""

from dataclasses import dataclass

from tinyrefinery.errors import look_up
from tinyrefinery.options.budget import ACCELERATORS, Budget

KIB, MIB, GIB = 2**10, 2**20, 2**30


@dataclass(frozen=True)
class Device:
    """A device that networks run on. Its firmware takes a part of the memory."""

    name: str
    title: str
    processor: str
    mhz: int
    flash: int | None
    """Bytes; None: depends on the board, or files lie on a card."""
    ram: int | None
    """Bytes of the largest block that an arena can lie in; None: depends on the board."""
    source: str
    """URL."""
    accelerator: str | None = None
    """Vela's name of its Ethos-U."""

    @property
    def budget(self) -> Budget:
        """Its whole memory as a budget."""
        return Budget(flash=self.flash, ram=self.ram)


_PI = "https://www.raspberrypi.com/products/"
_ST = "https://www.st.com/en/microcontrollers-microprocessors/"
_ETHOS = "https://developer.arm.com/Processors/Ethos-U55"


def _ethos(name: str) -> Device:
    """An Ethos-U55 on any board."""
    title = f"Ethos-U55, {name.rpartition('-')[2]} MACs per cycle"
    return Device(name, title, "Cortex-M55 and Ethos-U55", 500, None, None, _ETHOS, name)


_ALL = (
    Device(
        *("pico", "Raspberry Pi Pico (RP2040)", "Cortex-M0+", 133, 2 * MIB, 264 * KIB),
        "https://datasheets.raspberrypi.com/pico/pico-datasheet.pdf",
    ),
    Device(
        *("pico2", "Raspberry Pi Pico 2 (RP2350)", "Cortex-M33", 150, 4 * MIB, 520 * KIB),
        "https://datasheets.raspberrypi.com/pico/pico-2-datasheet.pdf",
    ),
    Device(
        *("microbit2", "BBC micro:bit v2 (nRF52833)", "Cortex-M4F", 64, 512 * KIB, 128 * KIB),
        "https://tech.microbit.org/hardware/",
    ),
    Device(
        *("nano33", "Arduino Nano 33 BLE (nRF52840)", "Cortex-M4F", 64, MIB, 256 * KIB),
        "https://docs.arduino.cc/hardware/nano-33-ble/",
    ),
    Device(
        *("stm32l4r5", "STM32L4R5ZI", "Cortex-M4F", 120, 2 * MIB, 640 * KIB),
        f"{_ST}stm32l4r5zi.html",
    ),
    Device(
        *("stm32f746", "STM32F746NG", "Cortex-M7", 216, MIB, 320 * KIB),
        f"{_ST}stm32f746ng.html",
    ),
    Device(
        *("stm32h743", "STM32H743ZI (AXI SRAM)", "Cortex-M7", 480, 2 * MIB, 512 * KIB),
        f"{_ST}stm32h743zi.html",
    ),
    Device(
        *("esp32-s3", "ESP32-S3 with 8 MB of flash", "Xtensa LX7", 240, 8 * MIB, 512 * KIB),
        "https://www.espressif.com/en/products/socs/esp32-s3",
    ),
    *map(_ethos, ACCELERATORS),
    Device(
        *("pi-zero", "Raspberry Pi Zero", "ARM1176", 1000, None, 512 * MIB),
        f"{_PI}raspberry-pi-zero/",
    ),
    Device(
        *("pi-zero2", "Raspberry Pi Zero 2 W", "Cortex-A53", 1000, None, 512 * MIB),
        f"{_PI}raspberry-pi-zero-2-w/",
    ),
    Device(
        *("pi3", "Raspberry Pi 3 Model B+", "Cortex-A53", 1400, None, GIB),
        f"{_PI}raspberry-pi-3-model-b-plus/",
    ),
    Device(
        *("pi4", "Raspberry Pi 4 Model B, 1 GB", "Cortex-A72", 1500, None, GIB),
        f"{_PI}raspberry-pi-4-model-b/specifications/",
    ),
    Device(
        *("pi5", "Raspberry Pi 5, 2 GB", "Cortex-A76", 2400, None, 2 * GIB),
        f"{_PI}raspberry-pi-5/",
    ),
    Device(
        *("pixel4", "Pixel 4 (Snapdragon 855)", "Kryo 485", 2840, None, 6 * GIB),
        "https://en.wikipedia.org/wiki/Pixel_4",
    ),
)
DEVICES = {device.name: device for device in _ALL}


def device_named(name: str) -> Device:
    """The device of a name.

    Raises:
        RecipeError: if there is none. Lists the nearest name and all others.
    """
    return look_up("device", name, DEVICES)
