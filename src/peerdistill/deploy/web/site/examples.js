// Classes of an encoder, each given by example pictures: a prototypical network (Snell et al., NIPS 2017).

const FIRST = 2; // classes that the page starts with

export class Examples {
  /**
   * @param list The element that holds a row for each class.
   * @param template The template of a row.
   * @param featuresOf From a file to its features; it says itself why a file cannot be read, and then gives null.
   * @param changed Called after every change, with whether the status on the page must stay.
   */
  constructor(list, template, featuresOf, changed) {
    Object.assign(this, { list, template, featuresOf, changed, classes: [], added: 0 });
    for (let k = 0; k < FIRST; k++) this.add();
  }

  /** Add a class without pictures. */
  add() {
    const row = this.template.content.firstElementChild.cloneNode(true);
    const one = { row, name: row.querySelector(".class-name"), features: [] };
    one.name.value = `class ${++this.added}`;
    one.name.addEventListener("input", () => this.changed());
    const input = row.querySelector("input[type=file]");
    input.id = `examples-${this.added}`;
    row.querySelector("label.button").htmlFor = input.id;
    input.addEventListener("change", async () => {
      await this.#take(one, [...input.files]);
      input.value = "";
    });
    row.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation(); // a picture that is dropped elsewhere is classified
      document.body.classList.remove("over");
      this.#take(one, [...event.dataTransfer.files]);
    });
    row.querySelector(".remove").addEventListener("click", () => {
      this.classes = this.classes.filter((other) => other !== one);
      row.remove();
      this.changed();
    });
    this.classes.push(one);
    this.#count(one);
    this.list.append(row);
  }

  /** The classes with pictures. */
  get #filled() {
    return this.classes.filter((one) => one.features.length > 0);
  }

  get names() {
    return this.#filled.map((one) => one.name.value.trim() || "class without a name");
  }

  /** Minus the squared distances between features and the mean features of each class. */
  logits(features) {
    return this.#filled.map((one) => {
      const prototype = features.map((_, d) => one.features.reduce((sum, other) => sum + other[d], 0) / one.features.length);
      return -Math.fround(prototype.reduce((sum, value, d) => sum + (features[d] - value) ** 2, 0));
    });
  }

  async #take(one, files) {
    let failed = false;
    for (const file of files) {
      const features = await this.featuresOf(file);
      if (features === null) failed = true;
      else one.features.push(features);
      this.#count(one);
    }
    this.changed({ keepStatus: failed });
  }

  #count(one) {
    const count = one.features.length;
    one.row.querySelector(".count").textContent = count === 1 ? "1 picture" : `${count} pictures`;
  }
}
