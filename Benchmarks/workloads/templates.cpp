// A unit of a program with much inlined code and debug information; compiled several times, with -DUNIT=0 and so on. The unit 0 has main.
#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <unordered_map>
#include <vector>

#define JOINED(a, b) a##b
#define NAME(a, b) JOINED(a, b)

namespace NAME(unit, UNIT) {
struct Item {
  std::string name;
  int price;
  bool operator<(const Item &other) const { return price < other.price || (price == other.price && name < other.name); }
};

template <int Depth> struct Sorter {
  static long run(std::vector<long> &values) {
    std::sort(values.begin(), values.end(), [](long a, long b) { return a % (Depth + 3) < b % (Depth + 3); });
    return Sorter<Depth - 1>::run(values) + values[Depth % values.size()];
  }
};
template <> struct Sorter<0> {
  static long run(std::vector<long> &values) { return values.front(); }
};

long work(int size) {
  std::map<std::string, std::vector<Item>> stock;
  std::unordered_map<int, std::shared_ptr<Item>> index;
  std::set<Item> all;
  std::regex pattern("([a-z]+)[0-9]*(foo|bar)+");
  std::smatch match;
  std::ostringstream out;
  for (int i = 0; i < size * 100; i++) {
    Item item{"item" + std::to_string(i), i * 7 % 31};
    stock[item.name.substr(0, 5)].push_back(item);
    index[i] = std::make_shared<Item>(item);
    all.insert(item);
    if (std::regex_search(item.name, match, pattern)) out << match[0] << '\n';
  }
  std::vector<long> values(size * 50);
  std::iota(values.begin(), values.end(), UNIT);
  std::function<long(long)> scale = [&](long x) { return x * size + UNIT; };
  std::transform(values.begin(), values.end(), values.begin(), scale);
  long total = Sorter<24>::run(values);
  for (auto &each : stock) {
    std::stable_sort(each.second.begin(), each.second.end());
    total += each.second.size();
  }
  return total + out.str().size() + std::accumulate(all.begin(), all.end(), 0L, [](long sum, const Item &item) { return sum + item.price; });
}
}

#if UNIT == 0
int main(int count, char **) { return unit0::work(count) & 1; }
#endif
